# Has the pooler's clients wait for as long as the standard input of this script is open: transactions that run come to
# their end, which may take as many seconds as the first argument says, and all others wait. Whoever opened the input may
# die: it is closed then. Prints "paused" once that is so. Ends with 3, and the clients go on, if a transaction runs on.
# All in all less than the query_wait_timeout that the clients are given.
console() { timeout "$1" psql -qX -h /dev/shm/pgbouncer -p 6432 -U pgbouncer -d pgbouncer -c "$2"; }

console "$1" PAUSE
code=$?
if [ "$code" = 0 ]; then
  echo paused
  timeout 12 cat >/dev/null
  # Clients that go on before the new leader takes statements would get an error. PGHOST and its like lead to the leader.
  until=$(($(date +%s) + 10))
  while [ "$(date +%s)" -lt "$until" ]; do
    if [ "$(timeout 2 psql -qXAt -c 'SELECT NOT pg_is_in_recovery()' 2>/dev/null)" = t ]; then break; fi
    sleep 0.1
  done
elif [ "$code" != 124 ]; then
  exit 1
fi
console 5 RESUME || exit 1
if [ "$code" != 0 ]; then exit 3; fi
