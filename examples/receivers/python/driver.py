"""For the tests: reads one request per line, as JSON, and answers each with a line, ok or failed."""

import json
import sys

from standard_webhooks import verify_standard_webhooks
from verbex import verify_verbex


def verify(request: dict) -> bool:
    headers, body = request["headers"], request["body"].encode()
    if request["format"] == "standard-webhooks":
        return verify_standard_webhooks(headers, body, request["secrets"])
    return verify_verbex(headers["X-Webhook-Signature"], body, request["secrets"])


for line in sys.stdin:
    print("ok" if verify(json.loads(line)) else "failed")
