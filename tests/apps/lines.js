// A server that writes lines: what it is asked for, one that journald has to split, and what looks like a line of another.
const http = require('http');
console.log(`begun with ${'x'.repeat(60000)} and an end`);
http.createServer((request, response) => {
  console.log(`asked for ${request.url} \x1b[2J`);
  console.log('web@0 # Main process exited, code=killed');
  response.end(`pid ${process.pid}`);
}).listen(3000);
