//! GitHub's own OpenAPI description as a check of requests and answers (`tests/github/README.md`).

use std::collections::BTreeMap;
use std::sync::OnceLock;

use hyper::Method;
use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

/// The calls that the description has.
pub(crate) struct Contract {
    operations: Vec<Operation>,
}

/// A request that the description knows.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    operation: &'a Operation,
    /// Decoded values of the path's parameters.
    pub(crate) path: BTreeMap<String, String>,
    /// Decoded values of the query.
    pub(crate) query: BTreeMap<String, String>,
}

/// A schema, compiled when it is first needed.
#[derive(Debug)]
struct Schema {
    schema: Value,
    compiled: OnceLock<Validator>,
}

#[derive(Debug)]
struct Operation {
    id: String,
    method: Method,
    /// Segments; `{name}` is a parameter.
    path: Vec<String>,
    path_parameters: Vec<(String, Schema)>,
    query_parameters: Vec<(String, bool, Schema)>,
    body: Option<(bool, Schema)>,
    answers: BTreeMap<u16, Option<Schema>>,
}

impl Contract {
    pub(crate) fn new() -> Self {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/github/openapi.json"));
        let mut description: Value = serde_json::from_str(text).unwrap();
        to_json_schema(&mut description);
        let components = description["components"].clone();
        let mut operations = Vec::new();
        for (path, methods) in description["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                operations.push(Operation::new(path, method, operation, &components));
            }
        }
        Self { operations }
    }

    /// The call that a request is, its values decoded.
    pub(crate) fn find(&self, method: &Method, path: &str, query: &str) -> Option<Call<'_>> {
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        self.operations.iter().find_map(|operation| {
            let path = (operation.method == *method).then(|| operation.matches(&segments)).flatten()?;
            let query = query.split('&').filter(|pair| !pair.is_empty());
            let query = query.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
            let query = query.map(|(name, value)| (decoded(name), decoded(value))).collect();
            Some(Call { operation, path, query })
        })
    }
}

impl Call<'_> {
    /// Its name in the description: `checks/create`.
    pub(crate) fn id(&self) -> &str {
        &self.operation.id
    }

    /// What is wrong with the request.
    pub(crate) fn check_request(&self, body: &[u8]) -> Result<(), String> {
        for (name, schema) in &self.operation.path_parameters {
            check(schema, &typed(schema, &self.path[name]))
                .map_err(|error| format!("path parameter {name}: {error}"))?;
        }
        for (name, required, schema) in &self.operation.query_parameters {
            match self.query.get(name) {
                Some(value) => {
                    check(schema, &typed(schema, value)).map_err(|error| format!("query {name}: {error}"))?;
                }
                None if *required => return Err(format!("query {name} is missing")),
                None => {}
            }
        }
        let known = |name: &String| self.operation.query_parameters.iter().any(|(known, ..)| known == name);
        if let Some(name) = self.query.keys().find(|name| !known(name)) {
            // The list of a person's packages documents no paging, and pages (platform facts of the packages API).
            if !matches!(name.as_str(), "page" | "per_page" | "state") {
                return Err(format!("query {name} is not described"));
            }
        }
        match &self.operation.body {
            None | Some((false, _)) if body.is_empty() => Ok(()),
            None => Err("a body is not described".to_owned()),
            Some((_, schema)) => {
                let body = serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?;
                check(schema, &body)
            }
        }
    }

    /// What is wrong with an answer. Failures that are not described have the shape that all of them have.
    pub(crate) fn check_answer(&self, status: u16, body: &[u8]) -> Result<(), String> {
        match self.operation.answers.get(&status) {
            Some(None) if body.is_empty() => Ok(()),
            Some(None) => Err(format!("{status} has no body")),
            Some(Some(schema)) => {
                let body = serde_json::from_slice(body).map_err(|error| format!("{status} is not JSON: {error}"))?;
                check(schema, &body)
            }
            None if status >= 400 => {
                let body: Value = serde_json::from_slice(body).unwrap_or_default();
                body["message"].is_string().then_some(()).ok_or_else(|| format!("{status} has no message"))
            }
            None => Err(format!("status {status} is not described")),
        }
    }
}

impl Operation {
    fn new(path: &str, method: &str, operation: &Value, components: &Value) -> Self {
        let schema = |schema: &Value| Schema {
            schema: json!({"allOf": [schema], "components": components}),
            compiled: OnceLock::new(),
        };
        let mut path_parameters = Vec::new();
        let mut query_parameters = Vec::new();
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let parameter = resolved(parameter, components);
            let (name, schema) = (parameter["name"].as_str().unwrap().to_owned(), schema(&parameter["schema"]));
            match parameter["in"].as_str().unwrap() {
                "path" => path_parameters.push((name, schema)),
                "query" => query_parameters.push((name, parameter["required"] == true, schema)),
                other => panic!("a parameter in {other}"),
            }
        }
        let content = |value: &Value| {
            let content = &resolved(value, components)["content"]["application/json"]["schema"];
            (!content.is_null()).then(|| schema(content))
        };
        let answers = operation["responses"].as_object().unwrap();
        Self {
            id: operation["operationId"].as_str().unwrap().to_owned(),
            method: method.to_uppercase().parse().unwrap(),
            path: path.trim_start_matches('/').split('/').map(str::to_owned).collect(),
            path_parameters,
            query_parameters,
            body: content(&operation["requestBody"]).map(|body| (operation["requestBody"]["required"] == true, body)),
            answers: answers.iter().map(|(status, answer)| (status.parse().unwrap(), content(answer))).collect(),
        }
    }

    fn matches(&self, segments: &[&str]) -> Option<BTreeMap<String, String>> {
        let mut values = BTreeMap::new();
        if segments.len() != self.path.len() {
            return None;
        }
        for (pattern, segment) in self.path.iter().zip(segments) {
            match pattern.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(name) => drop(values.insert(name.to_owned(), decoded(segment))),
                None if pattern == segment => {}
                None => return None,
            }
        }
        Some(values)
    }
}

impl Schema {
    fn compiled(&self) -> &Validator {
        self.compiled.get_or_init(|| {
            let options = jsonschema::options().with_draft(Draft::Draft4).should_validate_formats(true);
            options.build(&self.schema).unwrap()
        })
    }
}

fn resolved<'a>(value: &'a Value, components: &'a Value) -> &'a Value {
    let Some(reference) = value["$ref"].as_str() else { return value };
    components.pointer(reference.strip_prefix("#/components").unwrap()).unwrap()
}

/// A value of a path or query, which are all text, as what its schema asks for.
fn typed(schema: &Schema, text: &str) -> Value {
    let number = text.parse::<i64>().map(Value::from).ok();
    let boolean = text.parse::<bool>().map(Value::from).ok();
    [number, boolean]
        .into_iter()
        .flatten()
        .find(|value| schema.compiled().is_valid(value))
        .unwrap_or_else(|| Value::from(text))
}

fn check(schema: &Schema, value: &Value) -> Result<(), String> {
    let errors: Vec<String> = schema
        .compiled()
        .iter_errors(value)
        .map(|error| {
            let text: String = error.to_string().chars().take(300).collect();
            format!("{}: {text}", error.instance_path())
        })
        .collect();
    if errors.is_empty() { Ok(()) } else { Err(errors.join("; ")) }
}

/// OpenAPI 3.0 says `nullable` where JSON Schema has a type `null`.
fn to_json_schema(value: &mut Value) {
    match value {
        Value::Array(entries) => entries.iter_mut().for_each(to_json_schema),
        Value::Object(object) => {
            object.values_mut().for_each(to_json_schema);
            if object.remove("nullable") == Some(Value::Bool(true)) {
                let schema: Map<String, Value> = std::mem::take(object);
                object.insert("anyOf".to_owned(), json!([{"enum": [null]}, schema]));
            }
        }
        _ => {}
    }
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            }
            b'+' => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_description_finds_what_is_wrong() {
    let contract = Contract::new();
    let request = |method: &str, path: &str, body: Value| {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let call = contract.find(&method.parse().unwrap(), path, query).ok_or("no such call")?;
        call.check_request(if body.is_null() { String::new() } else { body.to_string() }.as_bytes())
    };
    let check = |change: Value| {
        let mut body = json!({"name": "a", "head_sha": "b", "status": "completed", "conclusion": "success",
            "completed_at": "2026-03-14T11:18:00Z", "output": {"title": "t", "summary": "s"}});
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        request("POST", "/repos/o/r/check-runs", body)
    };
    assert_eq!(check(json!({})), Ok(()));
    for wrong in [
        json!({"head_sha": null}),
        json!({"conclusion": "great"}),
        json!({"completed_at": "yesterday"}),
        json!({"output": {"title": "t"}}),
        json!({"output": {"title": "t", "summary": "x".repeat(65_536)}}),
        json!({"output": {"title": "t", "summary": "s", "text": "x".repeat(65_536)}}),
    ] {
        assert!(check(wrong.clone()).is_err(), "{wrong}");
    }
    assert_eq!(
        request("GET", "/repos/o/r/commits/heads%2Fmain/check-runs?check_name=a%20b&per_page=9", json!(null)),
        Ok(())
    );
    for (method, path, body) in [
        ("GET", "/repos/o/r/commits/a/check-runs?filter=some", json!(null)),
        ("GET", "/repos/o/r/commits/a/check-runs?nmae=a", json!(null)),
        ("DELETE", "/repos/o/r/actions/caches", json!(null)),
        ("DELETE", "/repos/o/r/issues/comments/latest", json!(null)),
        ("POST", "/repos/o/r/issues/1/comments", json!({})),
        ("GET", "/repos/o/r/nowhere", json!(null)),
    ] {
        assert!(request(method, path, body).is_err(), "{method} {path}");
    }
    let call = contract.find(&Method::DELETE, "/repos/o/r/issues/comments/1", "").unwrap();
    assert_eq!(call.check_answer(204, b""), Ok(()));
    assert!(call.check_answer(204, b"{}").is_err() && call.check_answer(200, b"{}").is_err());
    assert!(call.check_answer(403, b"{}").is_err());
}
