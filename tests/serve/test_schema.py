"""Requests made up from the OpenAPI document: none may end in a 5xx, or in what the document does not say.

A few for each route by `make test`; more, 2,003 in all, by

    SCHEMA_EXAMPLES=250 python -m pytest tests/serve/test_schema.py
"""

import os

import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from tests.serve.fakes import HOST, pdf, picture, service
from translatotron_v.serve.app import create_app

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "6"))
FILES = (picture(), picture(kind="GIF"), picture(kind="TIFF"), pdf(2), picture()[:90], b"%PDF-1.4", b"PK\3\4")
schemathesis.openapi.format("binary", st.sampled_from(FILES) | st.binary(max_size=60))


def served() -> object:
    """The application, which is not closed: each request has an event loop of its own."""
    return create_app(service(requests=64), languages=("de", "en"), hosts=("*",))


schema = schemathesis.openapi.from_asgi("/openapi.json", served())


@schema.parametrize()
@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
def test_no_request_ends_in_an_error_of_ours(case: schemathesis.Case):
    answer = case.call(base_url=HOST, timeout=300)
    assert answer.status_code < 500
    case.validate_response(answer, checks=CHECKS)


CHECKS = [
    schemathesis.checks.not_a_server_error,
    schemathesis.checks.CHECKS.get_one("status_code_conformance"),
    schemathesis.checks.CHECKS.get_one("content_type_conformance"),
    schemathesis.checks.CHECKS.get_one("response_schema_conformance"),
]
