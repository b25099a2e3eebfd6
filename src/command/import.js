// Prints the exports of the file named as argument, as JSON. Run by `rsgen import`, see src/command/node.rs.
'use strict';
const fs = require('fs');
const vm = require('vm');
const { pathToFileURL } = require('url');

const file = process.argv[1];
const print = process.stdout.write.bind(process.stdout);
// What the file prints itself must not mix with its exports.
process.stdout.write = process.stderr.write.bind(process.stderr);

const load = async () => {
  if (/\.json$/.test(file)) {
    // PM2 evaluates a JSON file as a JavaScript expression.
    return vm.runInThisContext('(' + fs.readFileSync(file, 'utf8') + '\n)', file);
  }
  const module = await import(pathToFileURL(file).href);
  return module.default === undefined ? { ...module } : module.default;
};

const plain = (_, value) => (value instanceof RegExp || typeof value === 'bigint' ? String(value) : value);

load().then(
  exported => {
    const text = JSON.stringify(exported, plain);
    print(text === undefined ? '' : text, () => process.exit(0));
  },
  error => {
    console.error(String((error && error.message) || error).split('\n')[0]);
    process.exit(1);
  },
);
