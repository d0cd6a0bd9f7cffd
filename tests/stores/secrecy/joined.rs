//! Lines of the log that belong together say so: those of one request, and those about an attempt
//! of a delivery.

use std::collections::HashMap;

use hookturn_test::{Client, Program, Receiver, RequestBuilder, scratch, until};
use serde_json::Value;
use tokio::task::block_in_place;

const KEY: &str = "a-key-of-the-tenant-that-is-logged-1";
const MASTER_KEY: &str = "k1:V5gTzq0LhYB3xN8mWcRk1uJdE6sPoaF9iQ2vXtG7nMw=";
const REQUEST_ID: &str = "the-rotation-is-called-this";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACE_OF_EVENT: &str = "0af7651916cd43dd8448eb211c80319c";

/// What a line says under these names.
type Fields = HashMap<&'static str, String>;

const NAMES: [&str; 7] = [
    "method",
    "route",
    "tenant",
    "request_id",
    "trace_id",
    "endpoint",
    "delivery",
];

fn traced(request: RequestBuilder, trace: &str) -> RequestBuilder {
    request.header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"))
}

/// The fields of a line of JSON.
fn of_json(line: &str) -> Fields {
    let line: Value = serde_json::from_str(line).expect("one object a line");
    let value = |name| Some((name, line[name].as_str()?.to_owned()));
    NAMES.into_iter().filter_map(value).collect()
}

/// The fields of a line of text, each of which must be there only once.
fn of_text(line: &str) -> Fields {
    let value = |name: &'static str| {
        let is_before = |found: &usize| line[..*found].ends_with([' ', '{']);
        let begin = format!("{name}=");
        let mut found = line
            .match_indices(&begin)
            .map(|(at, _)| at)
            .filter(is_before);
        let rest = &line[found.next()? + begin.len()..];
        assert_eq!(found.next(), None, "{line}: {name} is told twice");
        let value = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split('"').next(),
            None => rest.split([' ', '}', '\n']).next(),
        };
        Some((name, value?.to_owned()))
    };
    NAMES.into_iter().filter_map(value).collect()
}

/// Rotates and delivers under the log filter `filter`, and returns the endpoint's id and the log.
async fn drive(args: &[&str], filter: &str) -> (String, String) {
    let keys = [
        ("HOOKTURN_API_KEYS", &*format!("acme={KEY}")),
        ("HOOKTURN_MASTER_KEYS", MASTER_KEY),
    ];
    let args = [args, &["--rate-limit", "off", "--log", filter, "--dev"]].concat();
    let program = Program::serve(&args, &keys);
    let receiver = Receiver::start().await;
    let client = Client::of(&program.address).key(KEY);

    let body = serde_json::json!({ "url": receiver.url_of("hook?a=query") }).to_string();
    let created = client.post("/webhooks/endpoints").body(body).await;
    let id = created.is(201).member("id");
    let rotation = format!("/webhooks/endpoints/{id}/secret/rotate?a=query");
    let rotation = client.post(&rotation).header("X-Request-Id", REQUEST_ID);
    traced(rotation, TRACE).await.is(200);
    let event = client.post("/events").body(r#"{"type":"a.b","data":{}}"#);
    traced(event, TRACE_OF_EVENT).await.is(202);
    until(async || {
        let list = format!("/webhooks/endpoints/{id}/deliveries");
        let listed = client.get(&list).await.is(200).json();
        listed["data"][0]["attempts"][0].is_object()
    })
    .await;
    (id, block_in_place(|| program.stop()))
}

async fn assert_joined(args: &[&str], fields: fn(&str) -> Fields) {
    let (endpoint, log) = drive(args, "hookturn=debug").await;
    assert!(!log.contains("a=query"), "a query may hold anything: {log}");
    let told = |with: &[&str]| {
        let mut lines = log.lines();
        let line = lines.find(|line| with.iter().all(|text| line.contains(text)));
        fields(line.unwrap_or_else(|| panic!("no line has {with:?}: {log}")))
    };

    let mut rotated = told(&["signing secret rotated"]);
    assert_eq!(rotated.remove("endpoint"), Some(endpoint.clone()));
    let requested = told(&[REQUEST_ID, "duration_ms"]);
    assert_eq!(rotated, requested);
    for (name, value) in [
        ("method", "POST"),
        (
            "route",
            "/webhooks/endpoints/{webhook_endpoint_id}/secret/rotate",
        ),
        ("tenant", "acme"),
        ("request_id", REQUEST_ID),
        ("trace_id", TRACE),
    ] {
        assert_eq!(requested[name], value);
    }

    let attempted = told(&["delivery attempted"]);
    assert_eq!(attempted["tenant"], "acme");
    assert_eq!(attempted["endpoint"], endpoint);
    assert!(attempted["delivery"].starts_with("dlv_"), "{attempted:?}");
    assert_eq!(attempted["trace_id"], TRACE_OF_EVENT);
    assert_eq!(attempted.len(), 4, "{attempted:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_as_json_of_one_request_or_delivery_have_its_names() {
    assert_joined(&["--log-format", "json"], of_json).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_as_text_of_one_request_or_delivery_have_its_names() {
    assert_joined(&["--log-format", "text"], of_text).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_have_them_where_another_thread_commits() {
    let folder = scratch();
    let store = format!("sqlite:{}", folder.path().join("store.db").display());
    assert_joined(&["--log-format", "json", "--store", &store], of_json).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_keeps_its_names_without_the_lines_of_requests() {
    for filter in [
        "info,hookturn::api=warn",
        "info,hookturn::api::middleware=off",
    ] {
        let (endpoint, log) = drive(&["--log-format", "json"], filter).await;
        assert!(!log.contains("duration_ms"), "{filter}: {log}");
        let mut lines = log.lines();
        let rotated = lines.find(|line| line.contains("signing secret rotated"));
        let rotated = of_json(rotated.unwrap_or_else(|| panic!("{filter}: {log}")));
        assert_eq!(rotated["endpoint"], endpoint, "{filter}");
        assert_eq!(rotated["tenant"], "acme", "{filter}");
        assert_eq!(rotated["request_id"], REQUEST_ID, "{filter}");
        assert_eq!(rotated["trace_id"], TRACE, "{filter}");
    }
}
