setInterval(() => console.log(`mails of ${process.pid}`), 500);
process.on('SIGINT', () => process.exit(0));
