/* The journal protocol of a durable saga, for the model checker Spin.
 *
 * One run of N steps. Its journal is an append-only list of records on a disk with a volatile cache.
 * Two processes try to carry the run to its end; Fate kills them, and cuts the power, at most CRASHES
 * times in all, and at most ERRORS appends fail. README.md has the list of what is modelled and how to run
 * it; check.py runs the right protocol and every seeded bug (-DBUG_...).
 */

#define N 3       /* steps */
#define CRASHES 2 /* kills and power cuts, together */
#define ERRORS 1  /* appends that fail: disk full, I/O error */

#if defined(FENCED) || defined(BUG_LOCK_IGNORED) || defined(BUG_FENCE_INSTEAD_OF_LOCK)
#define NO_LOCK
#endif
#if defined(FENCED) || defined(BUG_FENCE_INSTEAD_OF_LOCK)
#define FENCE /* an append is refused unless its epoch is the newest */
#endif
#ifndef FENCED
#define CHECK_WORLD /* a fence guards the journal, not the world: see README.md */
#endif

/* A record is one byte: its kind, the step (or the outcome), and a seal on the last record of a frame.
 * A frame is what one append writes. The reader takes whole frames only; with -DRECORD_FRAMES each record is
 * a frame of its own, so that a power cut may keep the first half of an append. */
#define REC(kind, i) (((kind) << 3) | (i))
#define SEAL 128
#define KIND(r) (((r) & 127) >> 3)
#define STEP(r) ((r) & 7)
#define TORN 0 /* a record of which only some bytes are there */

#define BEGUN 1
#define STARTED 2
#define OK 3
#define FAILED 4 /* failed, and the run goes back: one record says both */
#define UNDOING 5
#define UNDONE 6
#define UNDO_FAILED 7
#define ENDED 8
#define TRIED 9 /* only in BUG_TWO_APPENDS: failed, and not yet said that the run goes back */

#define SUCCEEDED 0 /* the outcomes */
#define ALL_UNDONE 1
#define NEEDS_ATTENTION 2

#define NEW 0 /* the phases of a run */
#define FORWARD 1
#define BACK 2
#define OVER 3

#define NOBODY 2
#define NONE 7
#define CELLS (4 * N + 6)

/* The disk. */
byte cell[CELLS]; /* what a reader sees: disk and cache together */
byte used;        /* cells in use */
byte synced;      /* cells that a power cut cannot take */
#ifdef LYING_FSYNC
byte lost = CELLS; /* the first cell of a failed fsync: clean in the cache, not on the disk */
#endif

/* Ownership. */
#ifndef NO_LOCK
byte lock = NOBODY;
#endif
#ifdef FENCE
byte epoch; /* kept with the journal, raised by each takeover */
#endif
bool owns[2];
bool killed[2];

/* Budgets. */
byte crashes;
byte errors;

/* The world, and what only the properties need (ghosts). */
#ifdef CHECK_WORLD
bool live[N];            /* the effect of the step is there */
byte calls[N];           /* how often run was called */
byte flights[N];         /* how often an owner went down with the run of this step unanswered */
bool undo_called[N];     /* undo was called */
bool undo_bad[N];        /* the last call of undo failed */
byte inflight[2] = NONE; /* the step whose run was called and whose answer is not durable yet */
#endif
byte told[CELLS];        /* the records of which an owner was told that they are durable */
byte acked;              /* how many these are */
bool done;               /* Ended is durable */

/* Scratch, used inside of one d_step only and therefore no part of the state. */
hidden byte j, k, x, was;
hidden byte h_started, h_answered, h_undoing, h_undone;

/* Properties have names, for Spin prints the name of the one that fails. */
hidden byte G1_effect_after_started, G2_answered_not_run_again, G3_only_in_flight_run_again;
hidden byte G4_undo_returned_once, G4_undo_of_started, G4_undo_in_reverse;
hidden byte G5_whole_frames, G5_prefix, G5_grammar, G7_one_owner_appends, G9_durable_kept;
hidden byte O_succeeded, O_undone, O_attention, O_failed_undo_not_claimed, W_never_ends_so;
#define HOLDS(name, what) name = (what); assert(name)

/* What the durable part of the journal says of step i. */
inline look(i) {
    h_started = false; h_answered = false; h_undoing = false; h_undone = false;
    j = 0;
    do
    :: j < synced ->
        k = KIND(cell[j]);
        x = STEP(cell[j]);
        if
        :: x == i && k == STARTED -> h_started = true
        :: x == i && (k == OK || k == FAILED || k == TRIED) -> h_answered = true
        :: x == i && k == UNDOING -> h_undoing = true
        :: x == i && (k == UNDONE || k == UNDO_FAILED) -> h_undone = true
        :: else
        fi;
        j++
    :: else -> break
    od
}

/* One record, folded into the state of the run: the same function for reading and for going on. */
inline apply(r) {
    k = KIND(r);
    x = STEP(r);
    if
    :: k == BEGUN -> phase = FORWARD; at = 0; started = false
    :: k == STARTED -> phase = FORWARD; at = x; started = true
    :: k == OK -> phase = FORWARD; at = x + 1; started = false
    :: k == FAILED || k == TRIED -> phase = BACK; at = x; started = false
    :: k == UNDOING -> phase = BACK; at = x; started = true
    :: k == UNDONE || k == UNDO_FAILED ->
        phase = BACK;
        at = (x == 0 -> NONE : x - 1);
        started = false;
        bad = bad || (k == UNDO_FAILED)
    :: k == ENDED -> phase = OVER; at = 0; started = false
    fi
}

/* G5 and G9: what an owner was told to be durable is what a reader finds, from the first cell on. */
inline check_told(readable) {
    HOLDS(G9_durable_kept, readable >= acked);
    j = 0;
    do
    :: j < acked -> HOLDS(G5_prefix, cell[j] == told[j]); j++
    :: else -> break
    od
}

inline acknowledge(n) {
    acked = (n > acked -> n : acked);
    j = 0;
    do
    :: j < acked -> told[j] = cell[j]; j++
    :: else -> break
    od;
    done = done || (phase == OVER)
}

inline cut_to(n) {
    j = n;
    do
    :: j < used -> cell[j] = TORN; j++
    :: else -> break
    od;
    used = n;
    if
    :: synced > used -> synced = used
    :: else
    fi
#ifdef LYING_FSYNC
    ;
    if
    :: lost >= used -> lost = CELLS
    :: else
    fi
#endif
}

/* Without a lock an owner is fenced by its epoch. G7 is asked of both. */
inline check_owner() {
#if defined(FENCE)
    HOLDS(G7_one_owner_appends, my == epoch)
#else
    HOLDS(G7_one_owner_appends, !owns[1 - _pid])
#endif
}

/* The grammar of a journal: `was` is the record before. Asked where the world is not. */
inline check_grammar(r) {
#ifdef FENCED
    was = (used == 0 -> 0 : cell[used - 1]);
    k = KIND(r);
    x = STEP(r);
    HOLDS(G5_grammar,
        (used == 0 && k == BEGUN)
        || (KIND(was) == BEGUN && k == STARTED && x == 0)
        || (KIND(was) == STARTED && (k == OK || k == FAILED) && x == STEP(was))
        || (KIND(was) == OK && k == STARTED && x == STEP(was) + 1)
        || (KIND(was) == OK && k == ENDED && STEP(was) == N - 1 && x == SUCCEEDED)
        || (KIND(was) == FAILED && k == UNDOING && x == STEP(was))
        || (KIND(was) == UNDOING && (k == UNDONE || k == UNDO_FAILED) && x == STEP(was))
        || ((KIND(was) == UNDONE || KIND(was) == UNDO_FAILED) && k == UNDOING && x + 1 == STEP(was))
        || ((KIND(was) == UNDONE || KIND(was) == UNDO_FAILED) && k == ENDED && STEP(was) == 0
            && x != SUCCEEDED))
#else
    skip
#endif
}

inline put(r) {
    check_owner();
    check_grammar(r);
    cell[used] = r;
    used++;
    valid = used
}

/* The OS lets go of a dead owner's lock. Ghosts note the step that it was running. */
inline goes_down(p) {
#ifdef CHECK_WORLD
    if
    :: inflight[p] != NONE -> flights[inflight[p]]++; inflight[p] = NONE
    :: else
    fi;
#endif
#ifndef NO_LOCK
#ifndef BUG_LOCK_OUTLIVES_OWNER
    if
    :: lock == p -> lock = NOBODY
    :: else
    fi;
#endif
#endif
    owns[p] = false
}

inline forget() {
    phase = NEW; at = 0; started = false; bad = false; res = 0; f0 = 0; f1 = 0; valid = 0;
    my = 0
}

#ifdef CHECK_WORLD
/* Called with the outcome that is about to be written: the world must be so already. */
inline check_outcome(o) {
    j = 0;
    do
    :: j < N ->
        if
        :: o == SUCCEEDED -> HOLDS(O_succeeded, live[j] && calls[j] > 0 && !undo_called[j])
        :: o == ALL_UNDONE -> HOLDS(O_undone, !live[j] && !undo_bad[j] && (undo_called[j] || calls[j] == 0))
        :: o == NEEDS_ATTENTION ->
            HOLDS(O_attention, (!live[j] || undo_bad[j]) && (undo_called[j] || calls[j] == 0))
        fi;
        j++
    :: else -> break
    od;
    if
    :: o == NEEDS_ATTENTION -> HOLDS(O_attention, undo_bad[0] || undo_bad[1] || undo_bad[2])
    :: else
    fi
}
#endif

#define WORKS 0 /* how a call of run or undo goes: with its effect, or failing after or before it */
#define FAILS_AFTER 1
#define FAILS_BEFORE 2

/* A call of run, or of undo: one moment in the world. */
inline call_run(i) {
#ifdef CHECK_WORLD
    d_step {
        look(i);
        HOLDS(G2_answered_not_run_again, !h_answered);
        HOLDS(G1_effect_after_started, h_started);
        calls[i]++;
        HOLDS(G3_only_in_flight_run_again, calls[i] <= 1 + flights[i]);
        inflight[_pid] = i;
        live[i] = live[i] || (res != FAILS_BEFORE)
    }
#else
    skip
#endif
}

inline call_undo(i) {
#ifdef CHECK_WORLD
    d_step {
        look(i);
        HOLDS(G4_undo_returned_once, !h_undone);
        HOLDS(G1_effect_after_started, h_undoing);
        HOLDS(G4_undo_of_started, calls[i] > 0);
        j = 0;
        do
        :: j < N ->
            HOLDS(G4_undo_in_reverse,
                (j <= i || calls[j] == 0 || undo_called[j]) && (j >= i || !undo_called[j]));
            j++
        :: else -> break
        od;
        undo_called[i] = true;
        undo_bad[i] = (res != WORKS);
        live[i] = live[i] && (res == FAILS_BEFORE)
    }
#else
    skip
#endif
}

inline any_result() {
    if
    :: res = WORKS
    :: phase == FORWARD -> res = FAILS_AFTER /* of an undo it would say no more than the next */
    :: res = FAILS_BEFORE
    fi
}

/* What is to be appended next; f1 is 0 where the frame has one record. */
inline compose() {
    f1 = 0;
    if
    :: phase == NEW -> f0 = REC(BEGUN, 0); f1 = REC(STARTED, 0)
    :: phase == FORWARD && !started -> f0 = (at == N -> REC(ENDED, SUCCEEDED) : REC(STARTED, at))
    :: phase == FORWARD && started && res == WORKS ->
        f0 = REC(OK, at);
        f1 = (at == N - 1 -> REC(ENDED, SUCCEEDED) : REC(STARTED, at + 1))
    :: phase == FORWARD && started && res != WORKS ->
#if defined(BUG_TWO_APPENDS)
        f0 = REC(TRIED, at)
#elif defined(BUG_ROLLBACK_FROM_WRONG_STEP)
        f0 = REC(FAILED, at);
        f1 = REC(UNDOING, (at == 0 -> 0 : at - 1))
#else
        f0 = REC(FAILED, at);
        f1 = REC(UNDOING, at)
#endif
    :: phase == BACK && started ->
#ifdef BUG_FAILED_UNDO_AS_UNDONE
        f0 = REC(UNDONE, at);
#else
        f0 = (res == WORKS -> REC(UNDONE, at) : REC(UNDO_FAILED, at));
        bad = bad || (res != WORKS);
#endif
        f1 = (at == 0 -> REC(ENDED, (bad -> NEEDS_ATTENTION : ALL_UNDONE)) : REC(UNDOING, at - 1));
#ifdef BUG_FAILED_UNDO_STOPS_ROLLBACK
        f1 = (res == WORKS -> f1 : REC(ENDED, NEEDS_ATTENTION));
#endif
#ifdef CHECK_WORLD
        HOLDS(O_failed_undo_not_claimed, KIND(f0) != UNDONE || !undo_bad[at]);
#endif
    :: phase == BACK && !started ->
        f0 = (at == NONE -> REC(ENDED, (bad -> NEEDS_ATTENTION : ALL_UNDONE)) : REC(UNDOING, at))
    fi;
#ifdef CHECK_WORLD
    x = (f1 == 0 -> f0 : f1);
    if
    :: KIND(x) == ENDED -> x = STEP(x); check_outcome(x)
    :: else
    fi
#endif
}

/* Where an append that failed leaves the process. */
#ifdef BUG_APPEND_ERROR_IGNORED
#define AFTER_ERROR acked_append
#else
#define AFTER_ERROR stop
#endif
#define MAY_FAIL (errors < ERRORS)

/* Seal of the first record of a two-record frame. */
#ifdef RECORD_FRAMES
#define FIRST_SEAL SEAL
#else
#define FIRST_SEAL (f1 == 0 -> SEAL : 0)
#endif

active [2] proctype Owner() {
    byte phase, at, res, f0, f1, valid, my;
    bool started, bad;

again:
    {
        /* The two are alike: let the first one to do anything be 0. */
        _pid == 0 || used > 0 || crashes + errors > 0;

        /* Take over. A process that finds the lock taken waits: it stands for one that tries again later. */
#if defined(BUG_FENCE_READ_FIRST)
        skip;
#elif defined(NO_LOCK)
        d_step {
            owns[_pid] = true;
#ifdef FENCE
            epoch++;
            my = epoch
#endif
        };
#else
        d_step {
            lock == NOBODY;
            lock = _pid;
            owns[_pid] = true
        };
#endif

        /* Read: whole frames, up to the first cell that is torn. */
        d_step {
            valid = 0;
            j = 0;
            do
            :: j < used && cell[j] != TORN ->
                j++;
#ifdef BUG_TORN_FRAME_READ
                valid = j
#else
                valid = (cell[j - 1] >= SEAL -> j : valid)
#endif
            :: else -> break
            od;
            HOLDS(G5_whole_frames, valid == 0 || cell[valid - 1] >= SEAL);
            check_told(valid);
            was = 0;
            j = 0;
            do
            :: j < valid ->
                apply(cell[j]);
#ifdef BUG_RESUME_FROM_WRONG_STEP
                at = (KIND(cell[j]) == STARTED && at > 0 -> at - 1 : at);
#endif
#ifdef BUG_UNDO_TWICE
                at = (KIND(cell[j]) == UNDOING && KIND(was) == UNDONE -> at + 1 : at);
#endif
#ifdef BUG_FAILED_UNDO_FORGOTTEN
                bad = false;
#endif
#ifdef BUG_TWO_APPENDS
                phase = (KIND(cell[j]) == TRIED -> FORWARD : phase); /* no decision: it is tried again */
#endif
                was = cell[j];
                j++
            :: else -> break
            od
        };

#ifdef BUG_FENCE_READ_FIRST
        d_step {
            owns[_pid] = true;
            epoch++;
            my = epoch
        };
#endif

        /* What is not a whole frame is cut off: records behind it would never be read. */
        if
        :: d_step {
#ifdef FENCE
            my == epoch;
#endif
#ifndef BUG_TORN_TAIL_KEPT
            cut_to(valid);
#endif
#ifdef REWRITE_ON_RESUME
            lost = CELLS; /* what was read is written anew, to pages that the cache calls dirty */
#endif
            valid = 0
        }
#ifdef FENCE
        :: my != epoch -> goto refused
#endif
        fi;

        /* What was read may be in the cache only, left by an owner that was killed before its fsync. */
#ifndef BUG_NO_FSYNC_ON_RESUME
        if
        :: d_step {
            synced = used;
            acknowledge(used)
        }
        :: atomic {
            MAY_FAIL;
            errors++;
            goto stop
        }
        fi;
#endif

        do
        :: phase == OVER -> break
        :: else ->
            /* 1. The call whose Started is durable; then what is to be said of it, in memory. */
            atomic {
                if
                :: started && phase == FORWARD ->
                    any_result();
#ifndef BUG_COMMIT_BEFORE_EFFECT
                    call_run(at)
#endif
                :: started && phase == BACK ->
                    any_result();
                    call_undo(at)
#ifdef BUG_EFFECT_BEFORE_STARTED
                :: phase == NEW -> call_run(0)
#endif
                :: else
                fi;
                d_step {
                    compose()
                }
            };

            /* 2. One append: the answer, and what comes next. */
#ifdef FENCE
            /* A conditional append is a transaction: the epoch is compared, and all of the frame written. */
            if
            :: d_step {
                my == epoch;
                put(f0 | FIRST_SEAL);
                if
                :: f1 != 0 -> put(f1 | SEAL)
                :: else
                fi
            }
            :: atomic {
                my == epoch && MAY_FAIL;
                errors++;
                goto stop
            }
            :: my != epoch -> goto refused
            fi;
#else
            if
            :: d_step {
                put(f0 | FIRST_SEAL)
            }
            :: atomic { /* disk full: nothing is written, */
                MAY_FAIL;
                errors++;
                goto AFTER_ERROR
            }
            :: atomic { /* or half a record */
                MAY_FAIL;
                errors++;
                d_step {
                    put(TORN)
                };
                goto AFTER_ERROR
            }
            fi;
            if
            :: f1 == 0
            :: d_step {
                f1 != 0;
                put(f1 | SEAL)
            }
            :: atomic { /* one record and a half */
                f1 != 0 && MAY_FAIL;
                errors++;
                d_step {
                    put(TORN)
                };
                goto AFTER_ERROR
            }
            fi;
#endif
#ifndef BUG_NO_FSYNC
            if
            :: d_step {
                synced = used
            }
            :: atomic { /* all is written to the cache, and not to the disk */
                MAY_FAIL;
                errors++;
#ifdef LYING_FSYNC
                lost = synced;
#endif
                goto AFTER_ERROR
            }
            fi;
#endif
acked_append:
            skip;
            /* 3. Durable: the run is where its last record says. */
#ifdef BUG_COMMIT_BEFORE_EFFECT
            if
            :: started && phase == FORWARD -> call_run(at)
            :: else
            fi;
#endif
            d_step {
                apply(f0);
                if
                :: f1 != 0 -> apply(f1)
                :: else
                fi;
                acknowledge(valid);
                valid = 0;
#ifdef NEVER_ENDS_AS
                /* A witness, false on purpose: this end is reached, with all budgets spent. */
                HOLDS(W_never_ends_so,
                    phase != OVER || x != NEVER_ENDS_AS || crashes < CRASHES || errors < ERRORS);
#endif
#ifdef CHECK_WORLD
                inflight[_pid] = NONE;
#endif
                res = 0;
                f0 = 0;
                f1 = 0
            }
        od;
        goto leave;
#ifdef FENCE
refused: /* a newer owner is at work: this one leaves, for good */
#endif
leave:
        atomic {
            skip;
            d_step {
                goes_down(_pid);
                forget()
            }
        };
        goto over;
stop:
        skip;
        /* An append failed: nothing more is called. Somebody starts the process again later. */
        d_step {
            goes_down(_pid);
            forget()
        };
        goto again
    } unless {
        atomic {
            killed[_pid];
            d_step {
                killed[_pid] = false;
                forget()
            };
            goto again
        }
    };
over:
    skip
}

/* Kills an owner, or cuts the power, at any moment. */
active proctype Fate() {
    byte cut;

end:
    do
    :: d_step { /* kill -9: the cache outlives the process */
        crashes < CRASHES && owns[0];
        crashes++;
        killed[0] = true;
        goes_down(0)
    }
    :: d_step {
        crashes < CRASHES && owns[1];
        crashes++;
        killed[1] = true;
        goes_down(1)
    }
    :: atomic { /* a power cut: any prefix of what was not synced is left, or with half a record behind it */
        crashes < CRASHES;
        crashes++;
        cut = synced;
#ifdef LYING_FSYNC
        cut = (lost < synced -> lost : synced);
#endif
        do
        :: cut < used -> cut++
        :: break
        od;
        if
        :: d_step {
            cut_to(cut)
        }
        :: d_step {
            cut < used;
            cut_to(cut);
            cell[used] = TORN;
            used++
        }
        fi;
        d_step {
            cut = 0;
            synced = used;
#ifdef LYING_FSYNC
            lost = CELLS;
#endif
            check_told(used);
            killed[0] = killed[0] || owns[0];
            killed[1] = killed[1] || owns[1];
            goes_down(0);
            goes_down(1)
        }
    }
    od
}

/* Crashes and errors are finite here, so that nothing may keep the run from its end. */
ltl ends { <> done }
