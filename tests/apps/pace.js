// Answers at once at /, and after so many milliseconds at /2500.
const http = require('http');
http.createServer((request, response) => {
  const milliseconds = Number(request.url.slice(1));
  setTimeout(() => response.end(`pid ${process.pid}`), milliseconds);
}).listen(3000);
