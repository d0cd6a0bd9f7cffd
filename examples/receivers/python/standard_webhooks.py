from standardwebhooks.webhooks import Webhook, WebhookVerificationError


def verify_standard_webhooks(headers: dict, body: bytes, secrets: list[str]) -> bool:
    """Returns whether one of the secrets signed this delivery, at most five minutes ago."""
    for secret in secrets:
        try:
            Webhook(secret).verify(body, headers, json_parse=False)
            return True
        except (WebhookVerificationError, ValueError):  # ValueError: a broken header
            continue
    return False
