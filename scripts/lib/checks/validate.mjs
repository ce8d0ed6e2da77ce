// Validates workflows and actions with the parser of GitHub's own editor extension, which shares its schema with the
// service that runs them: node validate.cjs FILE…
//
// It is bundled first (need_check_tools), because the package imports JSON in a way that few versions of Node.js know.
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { registerLogger, validate } from '@actions/languageservice';
import { TextDocument } from 'vscode-languageserver-textdocument';

let problems = 0;

function problem(file, line, message) {
  problems += 1;
  console.error(`${file}:${line}: ${message}`);
}

async function main(files) {
  if (files.length === 0) {
    problem('validate', 1, 'no file was named');
  }
  for (const file of files) {
    // The service logs what it could not validate, and finds no problem then.
    registerLogger({ error: message => problem(file, 1, message), warn() {}, info() {}, log() {} });
    const document = TextDocument.create(pathToFileURL(file).href, 'yaml', 1, readFileSync(file, 'utf8'));
    for (const { range, message } of await validate(document, {})) {
      problem(file, range.start.line + 1, message);
    }
  }
  process.exitCode = problems === 0 ? 0 : 1;
}

main(process.argv.slice(2));
