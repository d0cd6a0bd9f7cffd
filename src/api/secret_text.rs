//! The only wire type that carries the text of a secret.

use serde::{Serialize, Serializer};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use crate::domain::Secret;

/// The text of a signing secret, in the answer to the request that created it. It is shown only
/// there: no read returns it. The text after `whsec_` is 30 random bytes in base64.
#[derive(ToSchema)]
#[schema(
    value_type = String,
    pattern = "^whsec_[A-Za-z0-9+/]{40}$",
    example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8G"
)]
pub struct SecretText(Zeroizing<String>);

impl From<&Secret> for SecretText {
    fn from(secret: &Secret) -> Self {
        Self(secret.expose())
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
