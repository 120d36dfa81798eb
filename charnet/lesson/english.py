"""The sentences of a lesson in English. `verdicts` chooses among those of one subject by the numbers."""

SENTENCES = {
    # The head of the page
    "title": "How recurrent networks learn {text}",
    "text": "{name}",
    "text.ferry-book": "The Ferry Book",
    "text.zh": "Tang poems",
    "intro": "{count} networks were trained on {text} ({characters} characters of {alphabet} kinds), {length}. All "
    "that is said here was measured in these runs, on this machine. Another text or more time may give other "
    "answers: that is the point.",
    "length.seconds": "each for {seconds} seconds",
    "length.steps": "each for {steps} steps",
    "intro.loss": "A network reads a character and gives a probability to each character that may come next. Its "
    "loss is the mean of −ln p over the characters that did come, in nats. exp(loss) is the perplexity: among so "
    "many equally likely characters the network still has to guess. A blind guess among {alphabet} characters costs "
    "{blind} nats. All losses are those on {held_out} characters that were held out: no network learned from them.",
    "equal.seconds": "What is equal: the text, the seconds, the learning-rate schedule, no dropout. Unless a "
    "section says otherwise, a network is an LSTM with one layer of {units} units that reads {streams} streams of "
    "the text in windows of {window} characters and learns with Muon. A network that computes more per character "
    "reads less in its seconds, as it would at your desk.",
    "equal.steps": "What is equal: the text, the number of steps and thus of characters, the learning-rate "
    "schedule, no dropout. Unless a section says otherwise, a network is an LSTM with one layer of {units} units "
    "that reads {streams} streams of the text in windows of {window} characters and learns with Muon. Time is not "
    "equal: a network that computes more per character took longer.",
    "chance": "How much is chance? The same LSTM, begun with other random weights, ended {difference} nats away. "
    "One repetition is a rough measure, so this page takes twice that, and at least {least}: it calls a difference "
    "real only above {chance} nats.",
    "chance.unknown": "How much is chance? There was no time to repeat a run with other random weights, so that is not "
    "known: this page assumes {chance} nats. And the networks have only begun to learn, in {fewest} to {most} steps. "
    "So all that follows describes these {count} runs. It does not say which cell is best: a longer --for does.",
    "disturbed": "While these trained, other programs used the processor: {names}. They got less of it than the "
    "others, and their losses are too high. Repeat the lesson on a machine that is not busy.",
    "chance.disturbed": "But other programs disturbed one of these two runs, so chance may explain more or less.",
    "compared.disturbed": "This comparison was disturbed: other programs used the processor while these trained: "
    "{names}. The lowest loss is that of {best}, {nats} nats; on a machine that is not busy the order may be another "
    "one.",
    "star": "{star} Disturbed by other programs: the loss is too high.",
    "left_out": "Left out, because the time was too short: {parts}. A longer --for includes them.",
    "diverged": "{names}: the loss was no longer a finite number, and the run ended early. Only its weights from "
    "before that count.",
    "contents": "Questions",
    "too_short": "This could not be measured: the text is too short.",
    "share": "{value} %",
    "share.less": "less than {least} %",
    # Parts that may be left out
    "part.noise": "repeating a run",
    "part.units": "the number of units",
    "part.windows": "the window",
    "part.layers": "the second layer",
    "part.optimizers": "the optimizers",
    # Which cell?
    "cells": "Which cell is best?",
    "cells.how": "Five cells with nearly equal numbers of parameters ({low} to {high}). A cell with fewer gates "
    "gets more units for the same parameters.",
    "cells.clear": "The {best} is best here: {nats} nats per character, perplexity {perplexity}. The {second} "
    "follows, {gap} nats behind, which is more than chance explains.",
    "cells.ahead": "After this short time the {best} is ahead: {nats} nats per character, perplexity {perplexity}. "
    "The {second} follows, {gap} nats behind. After longer runs the order may be another one.",
    "cells.tied": "{names} cannot be told apart here: they lie within {gap} nats, and chance explains {chance}. The "
    "lowest loss is that of {best}: {nats} nats per character, perplexity {perplexity}.",
    "cells.last": "The {worst} is last, {gap} nats behind the best.",
    "cells.speed": "In the same time the {fast} read {most} characters and the {slow} {fewest}: speed is part of "
    "the result.",
    "cells.speed.even": "All five read about as many characters: speed decides nothing here.",
    "cells.ask": "Would the order be the same with ten times the time?",
    "cells.answer": "Only longer runs can tell: try a longer --for. With more time a cell that costs more per "
    "character loses less by it, and its memory counts more.",
    "equations": "The cells, one by one",
    "equations.how": "x is the embedding of the character, h the hidden state, c the cell state, σ the logistic "
    "function, ⊙ the product of elements. W, U and b are learned. E and H count the elements of x and h.",
    "gate.input": "input gate", "gate.forget": "forget gate", "gate.output": "output gate",
    "gate.candidate": "candidate",
    "gate.update": "update gate: 1 keeps the old state", "gate.reset": "reset gate",
    "cell.rnn-tanh": "Everything that is remembered passes through U and tanh at every character. A gradient that "
    "goes back k characters is multiplied k times by U and by the slope of tanh, which is at most 1.",
    "cell.rnn-relu": "The slope of ReLU is 0 or 1: where a unit is active it does not shrink a gradient, and it does "
    "not bound the state either.",
    "cell.lstm": "The cell state c is carried on by a sum. Along c a gradient is multiplied by forget gates only: "
    "there is no matrix and no tanh on that way. It shrinks there too, unless the gates stay near 1: 64 gates of 0.9 "
    "leave 0.1 % of it. charnet starts them at 0.5, so keeping has to be learned.",
    "cell.cifg": "An LSTM with one decision less: the more it writes, the more it forgets, f = 1 − i. It has three "
    "quarters of the parameters per unit.",
    "cell.gru": "No cell state: the update gate mixes the old hidden state with a new candidate.",
    "cell.parameters": "Parameters of the cell: {formula}.",
    # How many units?
    "units": "How many units can the text use?",
    "units.how": "The same LSTM with more and with fewer units. So the numbers of parameters differ: that is the "
    "comparison.",
    "units.more": "The largest network is best: {best} units reach {nats} nats, {gap} less than {second}. The text "
    "can use at least that many here.",
    "units.slow": "{best} units are best here: {nats} nats. {large} units end {gap} nats behind: they read only "
    "{share} % of the characters that the {best} units read in the same time. That does not show that they cannot "
    "learn more; it shows their cost.",
    "units.enough": "{best} units are best here: {nats} nats. {large} units end {gap} nats behind, though they read "
    "about as much.",
    "units.tied": "{names} units cannot be told apart here: the best of them has {nats} nats. In this training more "
    "than {fewest} gain nothing.",
    "units.small": "With {small} units the loss is {gap} nats higher than the best.",
    "units.ask": "Why does a network with more units not simply win?",
    "units.answer": "Each character costs more: parameters grow with the square of the units. And a text teaches "
    "only so much; with many passes a large network learns it by heart.",
    # One layer or two?
    "layers": "What does a second layer bring?",
    "layers.how": "Two layers of {two} units against one of {one}, with equal numbers of parameters.",
    "layers.better": "The second layer helps here: {nats} nats, {gap} less than one layer.",
    "layers.worse": "The second layer does not help here: {nats} nats, {gap} more than one layer.",
    "layers.tied": "The second layer makes no difference here: {nats} nats, {gap} away from one layer, and chance "
    "explains {chance}.",
    "layers.speed": "In the same time two layers read {share} % of the characters that one layer read.",
    "layers.ask": "What can a second layer do that a wider first one cannot?",
    "layers.answer": "It reads the states of the first and can build on them, for instance words on letters. But "
    "gradients have a longer way, and it pays only once the first layer has learned something.",
    # Memory and gradients
    "memory": "How far do memory and gradient reach?",
    "memory.how": "First figure: how much higher the loss on the same characters is when the network has seen only "
    "the last 1, 2, 4 ... characters before them, instead of all. Where a curve ends, the network uses nothing that "
    "lies further back.",
    "memory.range": "The memory of the {longest} reaches furthest, {far} characters; that of the {shortest} ends at "
    "{near}.",
    "memory.same": "The memories of all cells end at about {far} characters.",
    "memory.unstable": "The state of the {cells} grows without a limit here: with more context the loss shoots up. So "
    "its memory is not compared.",
    "memory.window": "No memory reaches beyond the window of {window} characters in which the networks were trained.",
    "memory.beyond": "The {longest} uses more than the window of {window} characters: the state is carried from "
    "window to window, even though the gradient is cut.",
    "gradient.how": "Second figure: how strongly the hidden state now depends on the state k characters ago, "
    "relative to now. A gradient has to go this way back to teach the network what to remember. Third figure: how "
    "strongly the loss depends on the character that was read k steps ago, for every cell.",
    "gradient.lstm": "In these networks the gradient vanishes faster in the tanh RNN: it falls below a hundredth "
    "after {rnn_reach} characters, along c of the LSTM only after {lstm_reach}. After {k} characters {rnn} of it is "
    "left in the RNN, and {lstm} in the LSTM (along c: {c}).",
    "gradient.rnn": "Here the gradient reaches no further in the LSTM than in the tanh RNN: it falls below a "
    "hundredth after {rnn_reach} characters in the RNN, and after {lstm_reach} along c of the LSTM. After {k} "
    "characters {rnn} of it is left in the RNN, and {lstm} in the LSTM (along c: {c}). An LSTM keeps a gradient only "
    "where its forget gates are near 1, and that it has to learn.",
    "memory.ask": "A quotation mark opens 80 characters ago. Which of these networks can know?",
    "memory.answer": "Only one whose memory reaches that far. A network learns that more easily if the gradient "
    "reached that far in training: look at both figures.",
    # Exploding gradients
    "explosion": "What is an exploding gradient, and what does clipping do?",
    "explosion.how": "The trained {cell} again, its recurrent matrix U multiplied by {factor}. It goes on learning "
    "by plain gradient descent (learning rate {rate}, momentum 0.9), twice from the same weights and on the same "
    "text: without clipping, and with gradients clipped to norm {clip}.",
    "explosion.norm": "Before, the gradient had norm {usual}. Now it has {norm}: {times} times as much.",
    "explosion.reach": "Going back {k} characters, the gradient is multiplied by {after} on average; before, by "
    "{before}.",
    "explosion.broke": "Without clipping the loss is no longer a finite number after {steps} steps. Clipped, it "
    "goes from {first} to {end} nats, the mean of the last {last} of {all} steps.",
    "explosion.worse": "Without clipping the first steps throw the loss from {first} up to {peak} nats; clipped, it "
    "never exceeds {clipped_peak}. In the last {last} of {all} steps it is {free} without clipping, and {end} with "
    "it.",
    "explosion.stays": "Clipped, the gradients stay large (the figure shows them before they are clipped): the "
    "network is still where they explode, but moves in small steps. Unclipped, the first steps threw it to where "
    "gradients are small and the loss is high.",
    "explosion.escaped": "In the end the network without clipping is ahead: by chance its leaps ended where it could "
    "go on learning.",
    "explosion.mild": "The loss never exceeds {peak} nats without clipping, and {clipped_peak} with it; in the last "
    "{last} of {all} steps it is {free} and {end}. Here the network survived the explosion.",
    "explosion.none": "Even multiplied by {factor} the gradient did not explode here: its norm is {norm}, before it "
    "was {usual}.",
    "explosion.ask": "Clipping keeps the direction of the gradient and shortens it. Why is that enough?",
    "explosion.answer": "The direction is still downhill, but the slope holds only close by: a step of norm 1000 "
    "lands where the gradient says nothing. Clipping cures exploding gradients only; a vanished one cannot be "
    "lengthened.",
    # The window
    "windows": "What does the window of truncated backpropagation change?",
    "windows.how": "Truncated backpropagation through time cuts the gradient at the start of each window; the state "
    "goes on. The three LSTMs take steps of equally many characters: with a window of 8 they are cut from {short} "
    "streams, with one of 128 from {long}.",
    "windows.clear": "A window of {best} is best here: {nats} nats. Then come {others}.",
    "windows.tied": "Windows of {names} cannot be told apart here; the best of them has {nats} nats.",
    "windows.other": "{window} ({gap} nats behind)",
    "windows.grows": "In these runs a longer window came with a longer memory: {horizons} characters.",
    "windows.mixed": "The memories end at {horizons} characters: here a longer window alone did not make a longer "
    "memory.",
    "windows.ask": "Why not take a window of 10,000?",
    "windows.answer": "All states of a window stay in memory until the gradient has gone back, a step becomes "
    "longer and there are fewer of them, and most of that far gradient has vanished anyway.",
    # Optimizers
    "optimizers": "What do the three optimizers do?",
    "optimizers.how": "The same LSTM, trained with SGD with momentum, AdamW and Muon, each at its usual rate. SGD "
    "goes down the slope; AdamW gives every weight a step of its own size; Muon makes the step of a whole matrix "
    "orthogonal, so that all its directions move alike.",
    "optimizers.clear": "{best} is best here: {nats} nats. Then come {others}.",
    "optimizers.tied": "{names} cannot be told apart here; the lowest loss is {nats} nats.",
    "optimizers.other": "{name} ({gap} nats behind)",
    "optimizers.ask": "Is the one with the lowest loss after a minute the best after an hour?",
    "optimizers.answer": "Not always: the curves come closer together. A faster optimizer saves time.",
    # Temperature
    "temperature": "What does the temperature do?",
    "temperature.how": "The run with the lowest loss ({run}, {nats} nats) writes with the same seed at five "
    "temperatures. The logits are divided by the temperature before a character is drawn: below 1 likely characters "
    "become likelier.",
    "temperature.rises": "At {low} the network finds its own text dull, {low_nats} nats per character, and "
    "{low_known} % of all strings of {string} characters in it stand in {text}; at {high} it is {high_nats} nats "
    "and {high_known} %.",
    "temperature.mixed": "At {low}: {low_nats} nats per character by its own measure, and {low_known} % of all "
    "strings of {string} characters stand in {text}; at {high}: {high_nats} nats and {high_known} %. The order is "
    "not the usual one: this network has learned too little yet.",
    "temperature.ask": "Which temperature writes text as surprising as the real one?",
    "temperature.answer": "Near 1: there the network draws from the very probabilities that it has learned, and its "
    "own text surprises it about as much as the real one. Lower temperatures read better because they hide rare "
    "mistakes, and they repeat themselves.",
    "temperature.one": "Temperature {temperature}: {nats} nats, {known} % known strings",
    # The runs
    "runs": "All runs, to go on with",
    "runs.how": "Every run is saved and can write text, be looked into, and go on learning:",
    "runs.again": "All numbers of this page: the same command with --json; finished runs are used again.",
    # Tables and figures
    "question": "A question for the class: {asked}",
    "column.cell": "cell", "column.units": "units", "column.layers": "layers", "column.parameters": "parameters",
    "column.read": "characters read", "column.nats": "nats per character", "column.perplexity": "perplexity",
    "column.window": "window", "column.streams": "streams", "column.memory": "memory ends at",
    "column.optimizer": "optimizer", "column.rate": "learning rate", "column.run": "run", "column.seconds": "seconds",
    "column.reach.h": "d h / d h below 1 % after", "column.reach.c": "d h / d c below 1 % after",
    "axis.nats": "nats per character", "axis.seconds": "seconds of training", "axis.steps": "characters read",
    "axis.context": "characters of context seen", "axis.back": "characters back", "axis.relative": "relative size",
    "axis.step": "step", "axis.norm": "norm of the gradient",
    "panel.loss": "loss while learning", "panel.memory": "loss above that with the whole context",
    "panel.train": "training loss (too short for held-out ones)",
    "panel.state": "d h(t) / d state(t − k)",
    "panel.input": "d loss / d input",
    "panel.norm": "norm of the gradient, before clipping",
    "panel.descent": "loss",
    "line.free": "without clipping", "line.clipped": "clipped to {clip}", "line.before": "as trained",
    "line.after": "U × {factor}", "line.window": "window {window}", "line.units": "{units} units",
    "line.layers": "{layers} layers of {units}", "line.layer": "1 layer of {units}",
    "line.seed": "LSTM, other random weights",
    "list.and": "{first} and {last}", "list.comma": ", ",
    "figure.losses": "Losses at the end: {values}.",
    "figure.reach": "Left of it after {k} characters: {values}.",
    "figure.memory": "The memories end at: {values}.",
    "figure.explosion": "Norms of the gradient, largest and last: {values}.",
}  # fmt: skip
