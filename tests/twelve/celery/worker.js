setInterval(() => console.log(`worker ${process.env.NODE_APP_INSTANCE}`), 500);
process.on('SIGINT', () => process.exit(0));
