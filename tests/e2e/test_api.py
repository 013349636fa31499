"""The README's API table against the real server, through the Service."""

from tests.e2e.service import Service
from tests.readme_api import lines


def test_each_line_of_the_readmes_table_is_answered_as_it_says(service: Service) -> None:
    with service.forwarded() as url:
        for line in lines():
            answer = line.run(url)
            assert [word for word in line.words if word not in answer] == [], answer
