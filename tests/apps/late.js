// Answers 500 ms after a request, of which /tmp/asked tells, and sends `ready` once there is a file /tmp/go.
const fs = require('fs');
const http = require('http');
http.createServer((request, response) => {
  fs.writeFileSync('/tmp/asked', '');
  setTimeout(() => {
    // A chunk, whose end lets the client close the connection.
    response.write(`pid ${process.pid}`);
    response.end();
  }, 500);
}).listen(3000, () => {
  const timer = setInterval(() => {
    if (!fs.existsSync('/tmp/go')) return;
    clearInterval(timer);
    process.send('ready');
  }, 20);
});
