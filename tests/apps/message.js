// Ends on PM2's message, and notes what it received.
const { appendFileSync } = require('fs');
require('http').createServer((request, response) => {
  setTimeout(() => response.end(`pid ${process.pid}`), Number(request.url.slice(1)));
}).listen(3000);
process.on('message', (message) => {
  appendFileSync('/tmp/said', `${message}\n`);
  if (message === 'shutdown') process.exit(0);
});
process.on('SIGTERM', () => appendFileSync('/tmp/said', 'SIGTERM\n'));
