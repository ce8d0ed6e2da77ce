#!/usr/bin/env python3
"""Cuts GitHub's OpenAPI description down to the calls that this program makes.

    npm pack @octokit/openapi@23.0.2 && tar -xzf octokit-openapi-23.0.2.tgz
    tests/github/trim.py package/generated/api.github.com.json tests/github/openapi.json

What is kept is kept word for word, but for texts and examples, which no check reads.
"""

import json
import sys

CALLS = {
    "/repos/{owner}/{repo}/check-runs": ["post"],
    "/repos/{owner}/{repo}/commits": ["get"],
    "/repos/{owner}/{repo}/commits/{ref}/check-runs": ["get"],
    "/repos/{owner}/{repo}/issues/{issue_number}/comments": ["get", "post"],
    "/repos/{owner}/{repo}/issues/comments/{comment_id}": ["patch", "delete"],
    "/repos/{owner}/{repo}/actions/caches": ["get", "delete"],
    "/repos/{owner}/{repo}/actions/caches/{cache_id}": ["delete"],
    "/orgs/{org}/packages/{package_type}/{package_name}": ["get", "delete"],
    "/orgs/{org}/packages/{package_type}/{package_name}/versions": ["get"],
    "/orgs/{org}/packages/{package_type}/{package_name}/versions/{package_version_id}": ["get", "delete"],
    "/users/{username}/packages/{package_type}/{package_name}": ["get", "delete"],
    "/users/{username}/packages/{package_type}/{package_name}/versions": ["get"],
    "/users/{username}/packages/{package_type}/{package_name}/versions/{package_version_id}": ["get", "delete"],
    "/user": ["get"],
    "/user/packages/{package_type}/{package_name}": ["get", "delete"],
    "/user/packages/{package_type}/{package_name}/versions": ["get"],
    "/user/packages/{package_type}/{package_name}/versions/{package_version_id}": ["get", "delete"],
}
OPERATION = ("operationId", "parameters", "requestBody", "responses")
TEXTS = ("description", "example", "examples", "externalDocs", "summary", "title", "x-github", "x-multi-segment")


def without_texts(value, names=False):
    """`names`: the keys are names that somebody chose, not keywords."""
    if isinstance(value, list):
        return [without_texts(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    return {
        key: without_texts(inner, names=not names and key in ("properties", "schemas", "parameters", "responses", "headers"))
        for key, inner in value.items()
        if names or key not in TEXTS
    }


def references(value):
    if isinstance(value, list):
        for entry in value:
            yield from references(entry)
    elif isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)


def main(source, target):
    with open(source, encoding="utf-8") as file:
        whole = json.load(file)
    paths = {
        path: {method: {key: whole["paths"][path][method][key] for key in OPERATION if key in whole["paths"][path][method]} for method in methods}
        for path, methods in CALLS.items()
    }
    paths = {path: {method: without_texts(operation) for method, operation in methods.items()} for path, methods in paths.items()}
    components = {}
    waiting = list(references(paths))
    while waiting:
        _, _, section, name = waiting.pop().split("/")
        if name not in components.setdefault(section, {}):
            components[section][name] = without_texts(whole["components"][section][name])
            waiting.extend(references(components[section][name]))
    components = {section: dict(sorted(entries.items())) for section, entries in sorted(components.items())}
    trimmed = {"openapi": whole["openapi"], "info": whole["info"], "paths": paths, "components": components}
    with open(target, "w", encoding="utf-8") as file:
        json.dump(trimmed, file, indent=1, ensure_ascii=False)
        file.write("\n")


main(*sys.argv[1:])
