const http = require('http');
http.createServer((request, response) => response.end(`api ${process.pid}`)).listen(process.env.PORT);
