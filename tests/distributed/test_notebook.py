"""Clients in a notebook: the kernel's event loop runs in the thread that calls."""

import textwrap

import pytest
from gates import PATIENCE
from jupyter_client.manager import start_new_kernel
from jupyter_core.utils import ensure_event_loop


class Notebook:
    """A kernel, and what its cells have shown."""

    def __init__(self, client):
        self._client = client
        #: Text by stream, by the request of the cell under which it appears.
        self.shown = {}

    def run(self, text):
        """Run a cell; return what appeared under it by then."""
        request = self._client.execute(textwrap.dedent(text))
        while True:
            message = self._next()
            kind, content = message["msg_type"], message["content"]
            if message["parent_header"].get("msg_id") != request:
                continue
            if kind == "error":
                raise AssertionError("\n".join(content["traceback"]))
            if kind == "status" and content["execution_state"] == "idle":
                return request

    def _next(self):
        message = self._client.get_iopub_msg(timeout=PATIENCE)
        if message["msg_type"] == "stream":
            of_cell = self.shown.setdefault(message["parent_header"]["msg_id"], {})
            content = message["content"]
            of_cell[content["name"]] = of_cell.get(content["name"], "") + content["text"]
        return message

    def out(self, request, stream="stdout"):
        """Return what is shown under a cell."""
        return self.shown.get(request, {}).get(stream, "")

    def wait_for(self, request, text):
        """Wait until a cell shows a text."""
        while self.out(request) != text:
            self._next()


@pytest.fixture(scope="module")
def kernel():
    loop = ensure_event_loop()
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        loop.close()


@pytest.fixture(params=["threads", "processes"])
def notebook(request, kernel):
    """Open a notebook with a client; what a test defines there is the next one's, too."""
    notebook = Notebook(kernel)
    notebook.run(
        f"""
        import asyncio, logging, time
        import oxidask
        from oxidask.distributed import Client, LocalCluster, as_completed, wait

        cluster = LocalCluster(
            n_workers=2, threads_per_worker=1, processes={request.param == "processes"}
        )
        client = Client(cluster)

        def inc(x):
            return x + 1

        def say(word):
            # One piece, for threads come between the pieces of one another.
            print(f"{{word}}\\n", end="")
        """
    )
    yield notebook
    notebook.run("client.close(); cluster.close()")


def test_calls_that_block_work_inside_the_running_loop(notebook):
    cell = notebook.run(
        """
        assert asyncio.get_running_loop().is_running()
        assert client.submit(inc, 1).result() == 2
        assert client.gather(client.map(inc, range(5))) == [1, 2, 3, 4, 5]
        assert oxidask.compute(oxidask.delayed(inc)(1), oxidask.delayed(inc)(2)) == (2, 3)
        futures = client.map(inc, range(10, 15))
        wait(futures)
        print(sorted(result for _, result in as_completed(futures, with_results=True)))
        """
    )
    assert notebook.out(cell) == "[11, 12, 13, 14, 15]\n"


def test_await_works(notebook):
    cell = notebook.run(
        """
        print(await client.submit(inc, 1))
        print(await asyncio.gather(*client.map(inc, range(3))))

        async def later(x):
            await asyncio.sleep(0)
            return x + 1

        print(client.submit(later, 4).result())
        """
    )
    assert notebook.out(cell) == "2\n[1, 2, 3]\n5\n"


def test_output_appears_in_the_cell_that_waits(notebook):
    first = notebook.run("client.submit(say, 'one').result(); print('after')")
    second = notebook.run("await client.submit(say, 'two'); print('after')")
    third = notebook.run("client.gather(client.map(say, [3, 3, 3], pure=False)); print('after')")
    assert notebook.out(first) == "one\nafter\n"
    assert notebook.out(second) == "two\nafter\n"
    assert notebook.out(third) == "3\n3\n3\nafter\n"


def test_output_appears_in_the_cell_that_submitted_if_none_waits(notebook):
    cell = notebook.run(
        """
        def say_later(word):
            time.sleep(0.3)
            print(word)

        future = client.submit(say_later, "late")
        """
    )
    assert notebook.out(cell) == ""
    notebook.wait_for(cell, "late\n")


def test_logs_appear_in_the_cell(notebook):
    cell = notebook.run(
        """
        def log():
            logging.getLogger("work").warning("look at this")

        client.submit(log).result()
        """
    )
    assert "look at this" in notebook.out(cell, "stderr")
