// Answers with its arguments and its environment, byte for byte.
const hex = (text) => Buffer.from(text).toString('hex');
const told = { argv: process.argv.slice(2).map(hex), env: {}, uid: process.getuid() };
for (const key of Object.keys(process.env)) told.env[key] = hex(process.env[key]);
require('http').createServer((request, response) => response.end(JSON.stringify(told))).listen(3000);
