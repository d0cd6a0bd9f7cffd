import { Webhook } from "standardwebhooks";

/** Returns whether one of the secrets signed this delivery, at most five minutes ago. */
export function verifyStandardWebhooks(headers, body, secrets) {
  return secrets.some((secret) => {
    try {
      new Webhook(secret).verify(body, headers, { jsonParse: false });
      return true;
    } catch {
      return false;
    }
  });
}
