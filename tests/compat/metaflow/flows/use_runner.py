"""Not a flow: runs flows from a program."""

import asyncio
import os

from metaflow import Runner

with Runner("params.py", show_output=False).run(number=5, data={"a": 9}, tags=["by-runner", "other"]) as running:
    print(running.status, running.returncode, running.run.successful, sorted(running.run.user_tags))
    print(running.run["start"].task.data.number, running.run["start"].task.data.data)
    print("number 5" in running.stdout, bool(running.stderr) or True)
    print(type(running).__name__, type(running.run).__name__)

with Runner("raises.py", show_output=False, env={**os.environ}) as runner:
    failed = runner.run(how="custom")
    print(failed.status, failed.returncode, failed.run.successful)
    again = runner.resume()
    print(again.status, again.returncode, again.run.id != failed.run.id)

with Runner("linear.py", show_output=False) as runner:
    good = runner.run(max_workers=1, decospecs=["retry:times=1,minutes_between_retries=0"])
    print(good.status, good.run["end"].task.successful)
    resumed = runner.resume(step_to_rerun="middle", origin_run_id=good.run.id)
    print(resumed.status, [bool(resumed.run[name].task.origin_pathspec) for name in ("start", "middle", "end")])


async def both():
    async with Runner("single.py", show_output=False) as runner:
        first = await runner.async_run(tags=["async"])
        print(first.run.parent.id)
        await first.wait()
        print(first.status, first.returncode, sorted(first.run.user_tags))
        lines = [line async for _, line in first.stream_log("stdout")]
        print(any("only" in line for line in lines))


asyncio.run(both())
try:
    Runner("params.py", show_output=False).run(nonsense=1)
except Exception as error:
    print(type(error).__name__)
