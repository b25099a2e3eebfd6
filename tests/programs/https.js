const { readFileSync } = require('fs');
const options = { key: readFileSync(`${__dirname}/key.pem`), cert: readFileSync(`${__dirname}/cert.pem`) };
require('https').createServer(options, (request, response) => {
  setTimeout(() => response.end(`pid ${process.pid}`), 20);
}).listen(3000);
