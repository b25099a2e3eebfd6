// Loaded into Node programs by NODE_OPTIONS, to let their keep-alive connections end when the instance
// drains. Until then it is one watch of a folder and one of servers that begin to listen: nothing of
// Node is replaced, and no request passes through it.
// Written as Node 8 reads it: a program of that age must start, even if it is not helped.
'use strict';

const { basename, dirname } = require('path');

/** A module of Node's own, or nothing where it is too old. */
function builtin(name) {
  try {
    return require(name);
  } catch (error) {
    return {};
  }
}

/** `diagnostics_channel` of Node 18.7 and later, without its exceptions before. */
function subscribe(channel, listener) {
  const channels = builtin('diagnostics_channel');
  if (channels.subscribe) {
    channels.subscribe(channel, listener);
  }
}

/** From then on a connection without a request is closed, in milliseconds after the drain began. */
const IDLE = 1000;

/** HTTP/2 sessions that are open. */
const sessions = new Set();

const path = process.env.RSGEN_DRAIN;
if (path && builtin('worker_threads').isMainThread !== false) {
  // Node 20 and later; before, HTTP/2 ends without a word.
  subscribe('tracing:net.server.listen:asyncStart', ({ server }) => {
    if (server && /^Http2(Secure)?Server$/.test(server.constructor.name)) {
      server.on('session', (session) => {
        sessions.add(session);
        session.once('close', () => sessions.delete(session));
      });
    }
  });
  watch(2);
}

/** The folder may be made only now, when the machine boots. A program that may not look gets no drain. */
function watch(attempts) {
  try {
    const name = basename(path);
    let drains = false;
    const watcher = require('fs').watch(dirname(path), { persistent: false }, (event, changed) => {
      if (changed === name && !drains) {
        drains = true;
        try {
          drain();
        } catch (error) {
          // Handles of a program's own may be anything; its last requests are worth more than this.
        }
      } else if (changed === `${name}.shutdown`) {
        // As PM2 sends it, without its channel: that would keep the program alive.
        watcher.close();
        process.emit('message', 'shutdown');
      }
    });
    watcher.on('error', () => {});
  } catch (error) {
    if (error.code === 'ENOENT' && attempts > 1) {
      setTimeout(watch, IDLE, attempts - 1).unref();
    }
  }
}

function drain() {
  const { Server } = require('http');
  const servers = new Set();
  // Answers from now on say that their connection ends with them.
  subscribe('http.server.request.start', ({ response, server }) => {
    servers.add(server);
    response.shouldKeepAlive = false;
  });
  for (const handle of handles()) {
    // https has a class of its own that closes connections in the same way.
    const server = handle.server || handle;
    if (server instanceof Server || server.constructor.name === 'Server') {
      servers.add(server);
    }
    // So does the answer that is under way, if that can still be said.
    const response = handle.server && handle._httpMessage;
    if (response && !response.headersSent) {
      response.shouldKeepAlive = false;
    }
  }
  // GOAWAY; the streams that are open end as they like.
  sessions.forEach((session) => session.close());
  hold(servers);
}

/** Has the file open as long as there are connections: from outside one that waits for an answer in silence
 * looks like one that waits for nothing. */
function hold(servers) {
  const { closeSync, openSync } = require('fs');
  let word;
  try {
    word = openSync(path);
  } catch (error) {
    return;
  }
  const start = Date.now();
  const timer = setInterval(() => {
    // A connection that was used a moment ago may have its next request on the way: that is answered first.
    if (Date.now() - start > IDLE) {
      servers.forEach((server) => server.closeIdleConnections && server.closeIdleConnections());
    }
    if (sessions.size === 0 && !connections().some((socket) => servers.has(socket.server))) {
      closeSync(word);
      clearInterval(timer);
    }
  }, 50).unref();
}

function connections() {
  return handles().filter((handle) => handle.server);
}

function handles() {
  return process._getActiveHandles ? process._getActiveHandles() : [];
}
