import time, sys, faulthandler
from contextlib import ExitStack
from benchmarks.nonreaders import *
from benchmarks import processes
import httpx, threading
def go():
    faulthandler.dump_traceback_later(25, exit=False)
    number=1000
    with serving() as server, ExitStack() as lurking:
        speaker = Speaker(server)
        crowd = DistantCrowd(server.port, server.handshakes(range(1, number + 1)), answers=True)
        crowd.join(number)
        lurk(server, number, lurking)
        for n in range(1000):
            heard = crowd.hear()
            speaker.ask(); 
            speaker._line.settimeout(5)
            try: speaker.answered()
            except Exception as e:
                print("HOOK", n, repr(e), flush=True)
                print(httpx.get(f"http://127.0.0.1:{server.port}/healthz", timeout=3), flush=True)
                break
            t=threading.Timer(5, lambda: print("HEAR stuck", n, httpx.get(f"http://127.0.0.1:{server.port}/readyz", timeout=3).text, processes.open_files(server.pid), open(f"/proc/{server.pid}/stat").read().split()[2], processes.cpu_seconds(server.pid), flush=True)); t.start()
            heard(); t.cancel()
        print("done", n)
if __name__ == "__main__":
    processes.make_room()
    go()
