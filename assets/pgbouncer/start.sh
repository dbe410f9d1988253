# Starts PgBouncer with what must not stand in an image, a plan or on a disk: the superuser's password from the
# environment, and a key of this container's own, both in memory and readable by nobody else. The directory also holds the
# socket of the console, which therefore is reached from inside the container only.
set -eu
umask 077
mkdir -p /dev/shm/pgbouncer
cd /dev/shm/pgbouncer
printf '"%s" "%s"\n' "$PGUSER" "$(printf %s "$PGPASSWORD" | sed 's/"/""/g')" >userlist.txt
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=$(hostname)" -keyout server.key -out server.crt 2>/dev/null
unset PGPASSWORD
exec pgbouncer /etc/pgbouncer/pgbouncer.ini
