def response_callbacks(p, l): return {"SET": lambda r, **o: r in (b"OK", "OK")}
