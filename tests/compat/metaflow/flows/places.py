"""Where ``current`` and the Client API are asked from: another folder, threads, forks, the exit of the task."""

import asyncio
import atexit
import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor

from metaflow import FlowSpec, Run, Task, current, step


def seen(_=None):
    run = Run(f"{current.flow_name}/{current.run_id}")
    there = current.task.created_at is not None and Task(current.pathspec).created_at is not None
    return current.step_name, there, sorted(one.id for one in run), run.successful, run.tags == current.run.tags


class PlacesFlow(FlowSpec):
    @step
    def start(self):
        self.shared = 1
        os.chdir("/")
        print("elsewhere", seen())
        self.next(self.middle)

    @step
    def middle(self):
        print("next", seen())
        with ThreadPoolExecutor(1) as pool:
            print("thread", pool.submit(seen).result(), pool.submit(lambda: self.shared).result())
        with multiprocessing.get_context("fork").Pool(1) as pool:
            print("fork", pool.map(seen, [1]))
        print("loop", asyncio.run(asyncio.to_thread(seen)))
        child = os.fork()
        if child == 0:
            self.shared = 2
            os._exit(0)
        os.waitpid(child, 0)
        self.next(self.end)

    @step
    def end(self):
        def change():
            self.changed = self.shared + 1

        thread = threading.Thread(target=change)
        thread.start()
        thread.join()
        print(str(self), self.changed, current.run.end_task.id == current.task_id)
        threading.Timer(0.1, lambda: print("late", current.step_name)).start()
        atexit.register(lambda: print("exit", current.step_name))


if __name__ == "__main__":
    PlacesFlow()
