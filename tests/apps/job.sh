#!/bin/bash
# A job: takes as many seconds as the file `seconds` says, and ends with the status in `status`.
cd /srv/web
echo "began $NODE_APP_INSTANCE"
sleep "$(cat seconds 2>/dev/null || echo 0.2)"
echo "ended $NODE_APP_INSTANCE"
exit "$(cat status 2>/dev/null || echo 0)"
