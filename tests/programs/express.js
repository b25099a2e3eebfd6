const express = require('express');
const app = express();
app.get('/', (request, response) => setTimeout(() => response.send(`pid ${process.pid}`), 20));
app.listen(3000);
