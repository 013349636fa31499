"""What processes tell about themselves is read right."""

from bench.operator.samples import Asked, Written, asked, written

_API_SERVER = """
# TYPE apiserver_request_total counter
apiserver_request_total{code="201",verb="APPLY",resource="deployments",subresource=""} 7
apiserver_request_total{code="409",verb="APPLY",resource="services",subresource=""} 1
apiserver_request_total{code="201",verb="POST",resource="configmaps",subresource=""} 2
apiserver_request_total{code="200",verb="DELETE",resource="configmaps",subresource=""} 1
apiserver_request_total{code="200",verb="PUT",resource="deployments",subresource="status"} 99
apiserver_request_total{code="200",verb="LIST",resource="deployments",subresource=""} 99
apiserver_request_total{code="201",verb="POST",resource="pods",subresource=""} 99
apiserver_request_total{code="201",verb="POST",resource="llmservices",subresource=""} 99
apiserver_request_total{code="200",verb="PATCH",resource="llmservices",subresource="status"} 1.2e+01
apiserver_request_total_other{verb="APPLY",resource="deployments",subresource=""} 99
"""

_OPERATOR = """
rest_client_requests_total{code="201",kind="Deployment",method="PATCH",verb="patch"} 3.0
rest_client_requests_total{code="200",kind="LLMService",method="PATCH",verb="patch"} 2.0
rest_client_requests_total{code="201",kind="Event",method="POST",verb="create"} 4.0
rest_client_requests_total{code="200",kind="Lease",method="PUT",verb="update"} 5.0
rest_client_requests_total{code="200",kind="Lease",method="GET",verb="get"} 1.0
rest_client_requests_total{code="<error>",kind="Secret",method="GET",verb="get"} 6.0
rest_client_requests_total{code="200",kind="Pod",method="GET",verb="list"} 1.0
rest_client_requests_total{code="200",kind="Pod",method="GET",verb="watch"} 3.0
rest_client_requests_created{code="200",kind="Lease",method="PUT",verb="update"} 1.7e+09
"""


def test_writes_of_children_and_statuses_are_counted_and_no_others() -> None:
    assert written(_API_SERVER) == Written(children=11, statuses=12)
    assert written(_API_SERVER).since(Written(1, 2)) == Written(10, 10)


def test_the_operators_requests_are_counted_by_purpose_and_its_watches_not_at_all() -> None:
    assert asked(_OPERATOR) == Asked(writes=5, events=4, leases=6, reads=7)
    assert asked(_OPERATOR).all_but_leases == 16
