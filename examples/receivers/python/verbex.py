import hashlib
import hmac
import re
import time


def verify_verbex(signature: str, body: bytes, secrets: list[str], tolerance=300) -> bool:
    """Returns whether a secret made the X-Webhook-Signature, at most `tolerance` seconds ago."""
    entries = [entry.partition("=")[::2] for entry in signature.split(",")]
    times = [value for name, value in entries if name == "t"]
    if len(times) != 1 or not re.fullmatch("[0-9]{1,12}", times[0]):
        return False
    if abs(time.time() - int(times[0])) > tolerance:
        return False
    signed = times[0].encode() + b"." + body
    expected = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets]
    given = [value for name, value in entries if name == "v1"]
    return any(hmac.compare_digest(g.encode(), e.encode()) for g in given for e in expected)
