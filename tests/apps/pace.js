// Answers / at once, and /2500 after 2500 ms.
const http = require('http');
http.createServer((request, response) => {
  const milliseconds = Number(request.url.slice(1));
  setTimeout(() => response.end(`pid ${process.pid}`), milliseconds);
}).listen(3000);
