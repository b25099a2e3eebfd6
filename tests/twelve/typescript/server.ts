import http from 'http';

const port: number = Number(process.env.PORT);
http.createServer((_request, response) => response.end(`ts ${process.pid}`)).listen(port);
