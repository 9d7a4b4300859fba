"""Places may have thousands of workers: links that wait for theirs are no burden to each other."""

from __future__ import annotations

import select
from contextlib import ExitStack, closing

from headrace.executors.remote.executor import RemoteExecutor, RemoteOptions
from headrace.model.policy import StepPolicy
from headrace.worker.join_token import identity_of


def test_four_hundred_links_wait_in_an_epoll_within_another_and_news_wakes_none_of_them() -> None:
    executor = RemoteExecutor("far", ("127.0.0.1", 0), identity_of("a secret of the tests"), RemoteOptions())
    executor.start()
    with ExitStack() as stack, closing(executor):
        inner, outer = select.epoll(), select.epoll()  # as the driver has them: of workers, and around that
        stack.callback(inner.close)
        stack.callback(outer.close)
        outer.register(inner.fileno(), select.EPOLLIN)
        inner.register(executor.fileno(), select.EPOLLIN)
        links = []
        for _ in range(400):
            link = executor.provide(executor.spec(StepPolicy()))
            stack.callback(link.close)
            inner.register(link.fileno(), select.EPOLLIN)
            links.append(link)
        executor.stop(links[0], 0.0)
        assert {fd for fd, _ in inner.poll(5)} <= {executor.fileno(), links[0].fileno()}
        assert [one.link for one in executor.exits()] == [links[0]]
