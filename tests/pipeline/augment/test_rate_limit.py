import threading

from pipeline.augment.rate_limit import TokenBucket
from tests.pipeline.augment.material import Clock


def test_requests_are_spaced_evenly() -> None:
    clock = Clock()
    bucket = TokenBucket(30, clock=clock, sleep=clock.sleep)
    moments = []
    for _ in range(4):
        bucket.take()
        moments.append(clock.now)
    assert moments == [0.0, 2.0, 4.0, 6.0]


def test_time_that_passed_anyway_is_not_waited_again() -> None:
    clock = Clock()
    bucket = TokenBucket(60, clock=clock, sleep=clock.sleep)
    bucket.take()
    clock.now = 0.75
    assert bucket.take() == 0.25
    clock.now = 100.0
    assert bucket.take() == 0.0


def test_idle_time_is_saved_up_to_the_capacity_only() -> None:
    clock = Clock()
    bucket = TokenBucket(60, capacity=3, clock=clock, sleep=clock.sleep)
    clock.now = 1000.0
    assert [bucket.take() for _ in range(5)] == [0.0, 0.0, 0.0, 1.0, 1.0]


def test_threads_share_the_rate() -> None:
    # Nobody's sleep moves this clock, so each wait tells the place in the queue.
    bucket = TokenBucket(60, clock=lambda: 0.0, sleep=lambda _: None)
    waits: list[float] = []
    threads = [threading.Thread(target=lambda: waits.append(bucket.take())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
