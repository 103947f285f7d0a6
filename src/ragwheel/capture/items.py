"""What a recorded generator gave: all of it counted, the first ``capture_k`` items kept."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Any

from ragwheel.guard import let_interrupts_through

if TYPE_CHECKING:
    from ragwheel.capture.call import RetrieverCall

__all__ = ["Items"]


class Items:
    """What a generator gave so far: all of it counted, the first ``capture_k`` items kept."""

    def __init__(self, call: RetrieverCall) -> None:
        self.call = call
        self.limit = call.retrieval.capture_k
        self.items: list[Any] = []
        self.n_seen = 0
        self.n_given = 0

    def add(self, item: Any) -> bool:
        """Take in an item. True: it is for the app; False: it was over-fetched."""
        self.n_seen += 1
        if len(self.items) < self.limit:
            self.items.append(item)
        if self.call.k is not None and self.n_given == self.call.k:
            return False
        self.n_given += 1
        return True

    @property
    def enough(self) -> bool:
        """Whether all that was asked for has been seen."""
        return self.n_seen >= self.limit

    def end(self) -> None:
        """The generator returned, or nobody wants more of it."""
        self.call.end(self.items, self.n_given, self.n_seen)

    def failed(self, error: BaseException) -> bool:
        """It raised. False: nothing was given yet and it came of asking for more, start anew."""
        if isinstance(error, GeneratorExit):
            self.end()
        elif self.n_given:
            self.call.retrieval.fail(error)
        else:
            return self.call.raised(error)
        return True

    def rest(self, inner: Generator[Any, Any, Any]) -> Any:
        """Record what was over-fetched and is not given; return the generator's return value."""
        retrieval = self.call.retrieval
        try:
            retrieval.enter()
            while not self.enough:
                self.add(next(inner))
            inner.close()
        except StopIteration as end:
            self.end()
            return end.value
        except Exception as exc:  # the host's own code, at a place where the app's call would not have come
            let_interrupts_through(exc)
            self._failed_beyond_k()
        except BaseException:
            self._failed_beyond_k()
            raise
        else:
            self.end()
        finally:
            retrieval.leave()
        return None

    async def async_rest(self, inner: AsyncGenerator[Any, Any]) -> None:
        """Record what was over-fetched and is not given."""
        retrieval = self.call.retrieval
        try:
            retrieval.enter()
            while not self.enough:
                self.add(await inner.__anext__())
            await inner.aclose()
        except StopAsyncIteration:
            self.end()
        except Exception as exc:  # the host's own code, at a place where the app's call would not have come
            let_interrupts_through(exc)
            self._failed_beyond_k()
        except BaseException:  # cancelled
            self._failed_beyond_k()
            raise
        else:
            self.end()
        finally:
            retrieval.leave()

    def check(self, larger: Generator[Any, Any, Any]) -> None:
        """Read the larger call of a check, after the app's own has ended, and record both."""
        retrieval = self.call.retrieval
        items: list[Any] = []
        try:
            retrieval.enter()
            for item in larger:
                items.append(item)
                if len(items) >= self.limit:
                    break
            larger.close()
        except Exception as exc:  # the host's own code, in a call that the app did not make
            let_interrupts_through(exc)
            self.call.check_failed(self.items)
        except BaseException:
            self.call.check_failed(self.items)
            raise
        else:
            self.call.compare(self.items, items, self.n_seen)
        finally:
            retrieval.leave()

    async def async_check(self, larger: AsyncGenerator[Any, Any]) -> None:
        """Read the larger call of a check, after the app's own has ended, and record both."""
        retrieval = self.call.retrieval
        items: list[Any] = []
        try:
            retrieval.enter()
            async for item in larger:
                items.append(item)
                if len(items) >= self.limit:
                    break
            await larger.aclose()
        except Exception as exc:  # the host's own code, in a call that the app did not make
            let_interrupts_through(exc)
            self.call.check_failed(self.items)
        except BaseException:  # cancelled
            self.call.check_failed(self.items)
            raise
        else:
            self.call.compare(self.items, items, self.n_seen)
        finally:
            retrieval.leave()

    def _failed_beyond_k(self) -> None:
        """It raised after the app had all that it asked for."""
        self.call.retrieval.flag("overfetch_failed")
        self.end()
