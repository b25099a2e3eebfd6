// Answers / at once, and /2500 after 2500 ms. Ends by itself on SIGQUIT, once every request is answered; IGNORE=1 ignores SIGQUIT.
const fs = require('fs');
const http = require('http');
const say = (text) => fs.appendFileSync('/tmp/said', `${text}\n`);
const server = http.createServer((request, response) => {
  setTimeout(() => response.end(`pid ${process.pid}`), Number(request.url.slice(1)));
}).listen(3000);
process.on('SIGQUIT', () => {
  say('quit');
  if (!process.env.IGNORE) server.close(() => process.exit(0));
});
process.on('SIGTERM', () => {
  say('term');
  process.exit(0);
});
