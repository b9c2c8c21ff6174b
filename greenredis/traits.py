class Traits:
    def __init__(s, ro, share, blocking=False, state=False, refused=None, fixed=True): s.read_only=ro; s.shareable=share; s.blocking=blocking; s.state=state; s.refused=refused; s.is_fixed=fixed
    def block_seconds(s, w): return float(w[-1])
G=Traits(True,True); W=Traits(False,True); B=Traits(False,False,True); O=Traits(False,False)
T={"GET":G,"SET":W,"ECHO":G,"PING":G,"INCR":W,"INCRBY":W,"DELETE":W,"DEL":W,"RPUSH":W,"LRANGE":G,"BLPOP":B}
def traits_of(words): return T.get(words[0], O)
