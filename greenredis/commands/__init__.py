class CoreCommands:
    def get(self, name): return self.execute_command("GET", name)
    def set(self, name, value): return self.execute_command("SET", name, value)
    def incr(self, name, amount=1): return self.execute_command("INCRBY", name, amount)
    def delete(self, *n): return self.execute_command("DEL", *n)
    def ping(self): return self.execute_command("PING")
    def rpush(self, n, *v): return self.execute_command("RPUSH", n, *v)
    def lrange(self, n, a, b): return self.execute_command("LRANGE", n, a, b)
