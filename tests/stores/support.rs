//! What the tests of this binary share: values to store, callers, and tasks that start together.

use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use hookturn::domain::{EndpointId, EventPattern, Rotation, Settings, TenantId};
use hookturn::idempotency::{Answer, IdempotencyKey, KeyUse, RequestFingerprint};
use hookturn::service::Caller;
use hookturn::store::Decision;
use hookturn::store::at_rest::{MasterKey, MasterKeys};
use hookturn_test::patiently;
use tokio::sync::Barrier;

/// The tenant of most tests.
pub fn acme() -> &'static TenantId {
    static ACME: LazyLock<TenantId> = LazyLock::new(|| TenantId::new("acme"));
    &ACME
}

/// Another tenant.
pub fn other() -> &'static TenantId {
    static OTHER: LazyLock<TenantId> = LazyLock::new(|| TenantId::new("globex"));
    &OTHER
}

/// The master keys of stores that rest on a disk.
pub fn master_keys() -> MasterKeys {
    let key = MasterKey::new("k1", &[7; 32]).expect("a sound id");
    MasterKeys::new(vec![key]).expect("one key")
}

/// The settings of an endpoint, with or without a unique name.
pub fn settings(name: Option<&str>) -> Settings {
    Settings {
        url: "https://example.com/hook".into(),
        events: Box::new([EventPattern::All]),
        description: None,
        active: true,
        name: name.map(Into::into),
        headers: Box::default(),
        agent_ids: Box::default(),
        workspace_ids: Box::default(),
    }
}

/// The wish to do `request` once, under `key`.
pub fn key_use(key: &str, request: &str) -> KeyUse {
    KeyUse {
        key: IdempotencyKey::parse(key.as_bytes()).expect("a sound key"),
        fingerprint: RequestFingerprint::of("POST", request, b""),
    }
}

/// On behalf of `tenant`.
pub fn caller(tenant: &TenantId, key_use: Option<KeyUse>) -> Caller {
    Caller {
        tenant: tenant.clone(),
        key_use,
    }
}

/// An answer whose body is `text`.
pub fn says(text: impl Into<String>) -> Answer {
    Answer {
        status: 200,
        body: text.into().into(),
    }
}

/// A decision to write something, that says nothing of what it does.
pub fn decided<T>(write: T, answer: Answer) -> Decision<T> {
    Decision {
        write,
        action: None,
        answer,
    }
}

/// What a rotation answered, as far as tests ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    pub secret: String,
    pub current: String,
    pub previous: String,
    pub previous_expires_at: i64,
}

impl Rotated {
    /// The answer of a rotation.
    pub fn render(rotation: &Rotation) -> Answer {
        says(format!(
            "{} {} {} {}",
            *rotation.secret.expose(),
            rotation.secret.fingerprint(),
            rotation.previous,
            rotation.previous_secret_expires_at.as_millis()
        ))
    }

    /// What [`Rotated::render`] wrote.
    pub fn read(answer: &Answer) -> Self {
        let text = std::str::from_utf8(&answer.body).expect("UTF-8");
        let parts: Vec<&str> = text.split(' ').collect();
        let [secret, current, previous, expires_at] = parts[..] else {
            panic!("an answer of four parts: {text}");
        };
        Self {
            secret: secret.to_owned(),
            current: current.to_owned(),
            previous: previous.to_owned(),
            previous_expires_at: expires_at.parse().expect("milliseconds"),
        }
    }
}

/// Puts rotations in their order, each one replacing the one before, from the secret called `first`
/// on.
///
/// Fails when they do not form one chain: when two replaced the same secret, or one is lost.
pub fn chain(first: &str, mut rotations: Vec<Rotated>) -> Vec<Rotated> {
    let mut ordered: Vec<Rotated> = Vec::new();
    while !rotations.is_empty() {
        let last = ordered.last().map_or(first, |last| last.current.as_str());
        let mut next = (0..rotations.len()).filter(|place| rotations[*place].previous == last);
        let place = next.next().expect("a rotation that replaces the last one");
        assert_eq!(next.next(), None, "two rotations replaced the same secret");
        ordered.push(rotations.swap_remove(place));
    }
    ordered
}

/// Runs `count` tasks that start together, and returns what they returned, in the order of their
/// numbers.
pub async fn at_once<T, F>(count: usize, task: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(count));
    let tasks: Vec<_> = (0..count)
        .map(|number| {
            let barrier = Arc::clone(&barrier);
            let task = task(number);
            tokio::spawn(async move {
                barrier.wait().await;
                task.await
            })
        })
        .collect();
    let mut returned = Vec::with_capacity(count);
    for task in tasks {
        returned.push(patiently(task).await.expect("the task does not panic"));
    }
    returned
}

/// Polls a future at most so many times, then drops it, as a runtime drops the work of a client
/// that went away.
pub struct Dropped<F> {
    future: Option<Pin<Box<F>>>,
    polls: usize,
}

impl<F: Future> Dropped<F> {
    /// Drops `future` after `polls` polls, unless it is done by then.
    pub fn after(polls: usize, future: F) -> Self {
        Self {
            future: Some(Box::pin(future)),
            polls,
        }
    }
}

impl<F: Future> Future for Dropped<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            self.future = None;
        }
        let Some(future) = &mut self.future else {
            return Poll::Ready(None);
        };
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => {
                self.polls -= 1;
                // Were this the last poll, nothing else might wake the task again.
                if self.polls == 0 {
                    context.waker().wake_by_ref();
                }
                Poll::Pending
            }
        }
    }
}

/// The ids of some endpoints.
pub fn ids<'a>(
    endpoints: impl IntoIterator<Item = &'a hookturn::domain::Endpoint>,
) -> Vec<EndpointId> {
    endpoints.into_iter().map(|endpoint| endpoint.id).collect()
}
