# Holds the network and PID namespaces that a container lives in, called its member. Told to stop, it first has the member stop by
# the signal that the member asks for (the first argument): when a PID namespace ends, the kernel kills all that is in it.
# The other arguments, if there are any, are a program that watches over the member; it is started again when it ends.
stop_signal=$1
shift
if [ "$#" -gt 0 ]; then
  while :; do
    "$@"
    sleep 1
  done &
fi

# The processes that entered from outside, whose parent is in another namespace: the member's first one, and checks.
guests() {
  found=
  for status in /proc/[0-9]*/status; do
    pid=${status#/proc/}
    pid=${pid%/status}
    while read -r key value _; do
      if [ "$key" = PPid: ]; then
        if [ "$value" = 0 ] && [ "$pid" != 1 ]; then found="$found $pid"; fi
        break
      fi
    done 2>/dev/null <"$status"
  done
}

trap : TERM INT
sleep infinity &
wait "$!"

guests
told=$found
for pid in $told; do kill -s "$stop_signal" "$pid" 2>/dev/null; done
# Only those that were told: a member that Docker restarts meanwhile would keep the holder for ever.
for pid in $told; do
  while [ -e "/proc/$pid" ]; do sleep 0.05; done
done
