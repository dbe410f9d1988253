# Tells the coordinator that this member of a worker group has been promoted, as soon as it takes writes. Patroni does it
# itself, one to two seconds later; until then writes to the group wait.
#
#   promoted.sh GROUP MEMBER COORDINATOR... -- on_role_change ROLE SCOPE     the last three are Patroni's
group=$1 member=$2
shift 2
coordinators=()
while [ "$1" != -- ]; do coordinators+=("$1"); shift; done
[ "$3" = primary ] || exit 0

for _ in {1..500}; do
  [ "$(psql -U postgres -XAtqc 'SELECT pg_is_in_recovery()' postgres 2>/dev/null)" = f ] && break
  sleep 0.02
done
event="{\"type\": \"after_promote\", \"group\": $group, \"leader\": \"$member\", \"timeout\": 20, \"cooldown\": 1}"
for coordinator in "${coordinators[@]}"; do
  if curl --silent --fail --output /dev/null --max-time 1 "http://$coordinator:8008/primary"; then
    curl --silent --output /dev/null --max-time 5 --request POST --data "$event" "http://$coordinator:8008/citus"
  fi
done
