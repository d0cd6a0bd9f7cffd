import { createHmac, timingSafeEqual } from "node:crypto";

/** Returns whether a secret made the X-Webhook-Signature, at most `tolerance` seconds ago. */
export function verifyVerbex(signature, body, secrets, tolerance = 300) {
  const entries = signature.split(",").map((entry) => entry.split("="));
  const values = (key) => entries.filter(([name]) => name === key).map(([, value = ""]) => value);
  const times = values("t");
  if (times.length !== 1 || !/^[0-9]{1,12}$/.test(times[0])) return false;
  if (Math.abs(Date.now() / 1000 - Number(times[0])) > tolerance) return false;
  const given = values("v1").map((value) => Buffer.from(value, "latin1"));
  return secrets.some((secret) => {
    const hmac = createHmac("sha256", secret).update(`${times[0]}.`).update(body);
    const expected = Buffer.from(hmac.digest("hex"));
    const equals = (value) => value.length === expected.length && timingSafeEqual(value, expected);
    return given.some(equals);
  });
}
