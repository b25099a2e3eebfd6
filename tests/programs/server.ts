import { createServer } from 'node:http';

createServer((request, response) => {
  const pid: number = process.pid;
  setTimeout(() => response.end(`pid ${pid}`), 20);
}).listen(3000);
