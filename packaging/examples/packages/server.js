// The server in both example packages, which knows nothing of rsgen. On SIGINT it finishes its requests,
// so a reload loses none.
const http = require('http');
const hello = `${process.argv[2]}, version ${process.argv[3]}`;
const server = http.createServer((request, response) => response.end(hello));
server.listen(Number(process.argv[4]));
process.on('SIGINT', () => server.close(() => process.exit(0)));
