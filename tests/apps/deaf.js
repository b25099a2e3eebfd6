// Runs, but never listens.
setInterval(() => {}, 1000);
