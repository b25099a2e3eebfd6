const fs = require('fs');
const http = require('http');
// Each request is written down, if there is a folder for that.
const folder = process.env.RECORD;
http.createServer((request, response) => {
  if (folder) fs.appendFileSync(`${folder}/${process.pid}`, `${request.url}\n`);
  setTimeout(() => response.end(`pid ${process.pid}`), 20);
}).listen(3000);
