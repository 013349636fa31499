"""What the kernel tells of processes is read right."""

from bench.proc import cpu_seconds, machine_seconds, mebibytes


def test_cpu_is_read_past_a_name_with_spaces_and_brackets() -> None:
    stat = "42 (a b) c) S 1 1 1 0 -1 4194560 100 0 0 0 250 50 7 7 20 0 9 0"
    assert cpu_seconds(stat, ticks=100) == 3


def test_the_machine_is_busy_but_while_it_idles_or_waits_for_a_disk() -> None:
    assert machine_seconds("cpu  100 10 50 9000 900 20 20 500\ncpu0 1 1 1 1", ticks=100) == 2


def test_memory_is_given_in_mebibytes() -> None:
    status = "Name:\tpython\nVmPeak:\t  999999 kB\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\n"
    assert (mebibytes(status, "VmHWM"), mebibytes(status, "VmRSS")) == (2, 1)
