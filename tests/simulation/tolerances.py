"""What the checker lets pass, in words: every span and number by which a promise is not taken to the letter.

Owns: the tolerances, all of them. Must not: hold a rule. A rule that is not kept to the letter names its tolerance
here; what is in no line of this file is held against the program exactly as the design has it.

Four are no numbers:

- What LG refused an account of a few devices is asked for again once when its credential changed, once after a start
  while its list is doubted, and once when a list is believed after doubted ones: it may have been refused to another
  user.
- An answer that has the message id of a request of an earlier process is believed: nobody keeps those ids.
- While git's lock is there any text since it came may be in force, and the one from before; from those since it came
  nothing may be unsubscribed.
- An approval releases a device that looks like another one or whose file vanished: it is a person's decision.
"""

from __future__ import annotations

from datetime import timedelta

TEXT_GRACE_SECONDS = 4.0
"""So long after a change of the files nobody can say which text the program goes by: one of them must allow a call."""
GRACE_SECONDS = 10.0
"""The same for credentials and for a pause by command."""
STRICT_GRACE_SECONDS = 1.0
"""That in the strict mode for a pause by command: a call that is asked about later than that comes after it."""
ONE_CALL_SECONDS = 46.0
"""So long three calls may take, one after the other: what was begun before a stop may still come."""
CLOCK_SECONDS = 1.0
"""A date counts as reached or not for so long before and after it, and waits may be off by as much."""
CLOCKS_APART_SECONDS = 45.0
"""Around the five minutes at which LG's clock begins to count: an answer is late by up to a time-out and a half, so
within so many seconds of that difference the program may go by its own clock or by both."""
FILES_REST_SECONDS = 0.6
"""By so much less than five seconds the files may have rested before what vanished with one of them is removed: news of
the last change travel, and it may be dated a little earlier than it is known."""
MISSING_FILE_SECONDS = 5.0
"""By so much less than ten minutes a tracked file may be missing before its devices may go."""
EXCHANGE_SECONDS = 15.0
"""So long after the state was exchanged under the program it may not have noticed: what it writes down may be in a file
that is not at its path. It is not stopped or killed before that, as it may then know nothing of what it knew."""
FLOOD_BYTES = 1024 * 1024 * 1024
"""So much of one answer, unpacked, may be taken: a list of a million devices has a tenth of that."""
SILENCE = timedelta(minutes=70)
"""What may go by beyond two intervals without any call for an account: LG may stop or throttle it for up to an hour."""
UNTIL_CALM = timedelta(minutes=10)
"""What may go by beyond two intervals until an account without trouble is as it should be."""
TRUSTED_SECONDS = 5.0
"""So long after a list reached the program the line of the log may come that doubts it."""
JOINED_SECONDS = 30.0
"""So long after a page of events was read they may not count yet: to join them may wait for the disk."""
HEARD_SECONDS = 180.0
"""So long after a receiver has an event it may not be read: it is asked every minute, and a page may take as long as it
is given; after a start the program waits for the first revision."""
SILENCE_SECONDS = 300.0
"""By so much the silence that means something may be off, and so much later an alert may come."""
WRONG_SECONDS = 240.0
"""A machine's clock that was wrong by more since the program began may date a list before events that are older: nobody
can tell what LG's clock says where its answers have no date."""
SHARED_TEXT_GRACE_SECONDS = 8.0
"""The same as after a change of the files, where one of several daemons reads them and the others follow."""
SHARED_GRACE_SECONDS = 3.0
"""A pause is in force for all daemons when its command is answered: what was confirmed two seconds earlier may come."""
OBEYED_SECONDS = 6.0
"""So long after somebody asked for a pass its owner may do what that allows; and as long as the command waits."""
