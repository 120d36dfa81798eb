"""The sentences of a lesson in Chinese, under the same keys as those in English."""

SENTENCES = {
    # The head of the page
    "title": "循环神经网络怎样学会{text}",
    "text": "《{name}》",
    "text.ferry-book": "《The Ferry Book》",
    "text.zh": "《全唐诗》五言诗选",
    "intro": "我们用{text}（共 {characters} 个字符，{alphabet} 种）训练了 {count} 个网络，{length}。本页的每一句结"
    "论都出自这些训练的实测结果，就在这台机器上。换一份文本，或者多给些时间，答案可能不同：这正是本课想让大家看到的。",
    "length.seconds": "每个训练 {seconds} 秒",
    "length.steps": "每个训练 {steps} 步",
    "intro.loss": "网络每读入一个字符，就给下一个可能出现的字符各分配一个概率。损失是对实际出现的字符取 −ln p 的平均"
    "值，单位是奈特（nat）。exp(损失) 就是困惑度：相当于网络还要在多少个等可能的字符里猜一个。在 {alphabet} 种字符里"
    "瞎猜，损失是 {blind}。本页所有的损失都是在留出的 {held_out} 个字符上测得的，没有哪个网络学过这部分文本。",
    "equal.seconds": "哪些条件相同：文本、训练秒数、学习率的变化方式都一样，不用 dropout。除非某一节另有说明，网络都"
    "是单层 LSTM，{units} 个隐藏单元，并行读 {streams} 路文本，窗口长 {window} 个字符，用 Muon 优化。每个字符算得多"
    "的网络，在同样的时间里读得就少，平时使用也是如此。",
    "equal.steps": "哪些条件相同：文本、步数（因而读入的字符数）、学习率的变化方式都一样，不用 dropout。除非某一节另"
    "有说明，网络都是单层 LSTM，{units} 个隐藏单元，并行读 {streams} 路文本，窗口长 {window} 个字符，用 Muon 优化。"
    "时间并不相同：每个字符算得多的网络用时更长。",
    "chance": "偶然因素有多大？同一个 LSTM 换一组随机初始权重再训练一次，结果相差 {difference}。只重复一次，估计很粗"
    "略，所以本页取它的两倍，且不小于 {least}：差距超过 {chance}，才算真正的差别。",
    "chance.unknown": "偶然因素有多大？时间太短，来不及换一组随机初始权重再训练一次，所以无从得知，本页姑且按 "
    "{chance} 算。况且这些网络才训练了 {fewest} 到 {most} 步，刚刚开始学。下面说的只是这 {count} 次训练的情形，并不说"
    "明哪种单元更好；要下结论，请把 --for 设长一些。",
    "disturbed": "训练{names}时，别的程序占用了处理器，网络没有得到平常那么多的计算时间，损失因此偏高。请在空闲的机"
    "器上再做一次。",
    "chance.disturbed": "不过，这两次训练中有一次受到了别的程序的干扰，偶然因素的影响可能比这更大，也可能更小。",
    "compared.disturbed": "这项比较受到了干扰：以下训练进行时，别的程序占用了处理器：{names}。损失最低的是{best}（"
    "{nats}），但在空闲的机器上，名次可能不同。",
    "star": "{star} 训练时受到别的程序干扰，损失偏高。",
    "left_out": "因时间太短而略去的内容：{parts}。把 --for 设长一些就会补上。",
    "diverged": "{names}：训练中损失不再是有限的数，训练提前结束，只采用在此之前保存的权重。",
    "contents": "本课的问题",
    "too_short": "文本太短，这一项无法测量。",
    "share": "{value}%",
    "share.less": "{least}% 以下",
    # Parts that may be left out
    "part.noise": "重复训练",
    "part.units": "隐藏单元的数量",
    "part.windows": "窗口长度",
    "part.layers": "第二层",
    "part.optimizers": "优化器",
    # Which cell?
    "cells": "哪种循环单元最好？",
    "cells.how": "五种循环单元，参数总数几乎相等（{low} 到 {high} 个）。门越少的单元，用同样多的参数就能有越多的隐藏"
    "单元。",
    "cells.clear": "这里最好的是 {best}：每个字符的损失为 {nats} 奈特，困惑度 {perplexity}。其次是 {second}，差 "
    "{gap}，超出了偶然因素能解释的范围。",
    "cells.ahead": "才训练了这么一会儿，暂时领先的是 {best}：每个字符的损失为 {nats} 奈特，困惑度 {perplexity}。其"
    "次是 {second}，差 {gap}。训练久一些，名次可能就变了。",
    "cells.tied": "{names} 在这里分不出高下：彼此相差不超过 {gap}，而偶然因素就能造成 {chance} 的差距。损失最低的是 "
    "{best}：每个字符 {nats} 奈特，困惑度 {perplexity}。",
    "cells.last": "{worst} 排在最后，比最好的差 {gap}。",
    "cells.speed": "在同样的时间里，{fast} 读了 {most} 个字符，{slow} 只读了 {fewest} 个：快慢本身也是成绩的一部分。",
    "cells.speed.even": "五种单元读的字符数差不多：在这里，快慢不起决定作用。",
    "cells.ask": "如果训练时间增加到十倍，名次还会一样吗？",
    "cells.answer": "只有训练更久才知道：把 --for 设长一些试试看。时间越充裕，每个字符算得多的单元就越不吃亏，而单元"
    "能记住什么就越重要。",
    "equations": "逐个看各种单元",
    "equations.how": "x 是字符的嵌入向量，h 是隐藏状态，c 是细胞状态，σ 是 logistic 函数，⊙ 表示逐元素相乘。W、U、b "
    "是要学习的参数。E 和 H 分别是 x 和 h 的维数。",
    "gate.input": "输入门", "gate.forget": "遗忘门", "gate.output": "输出门", "gate.candidate": "候选值",
    "gate.update": "更新门：取 1 时保留旧状态", "gate.reset": "重置门",
    "cell.rnn-tanh": "所有的记忆在每个字符处都要经过 U 和 tanh。梯度往回传 k 个字符，就要连乘 k 次 U 和 tanh 的导数"
    "，而这个导数最大只有 1。",
    "cell.rnn-relu": "ReLU 的导数不是 0 就是 1：单元处于激活状态时不会使梯度变小，但状态的大小也就没有了限制。",
    "cell.lstm": "细胞状态 c 靠相加往下传。沿着 c 往回传的梯度只乘以遗忘门，这条路上既没有矩阵，也没有 tanh。不过遗"
    "忘门若不接近 1，梯度照样会变小：连乘 64 个 0.9，就只剩 0.1%。charnet 里遗忘门从 0.5 开始，要保住多少，得靠学习。",
    "cell.cifg": "比 LSTM 少做一个决定：写入多少，就忘掉多少，即 f = 1 − i。每个隐藏单元的参数只有 LSTM 的四分之三。",
    "cell.gru": "没有细胞状态：更新门把旧的隐藏状态和新的候选值混合起来。",
    "cell.parameters": "单元的参数个数：{formula}。",
    # How many units?
    "units": "这份文本用得上多少个隐藏单元？",
    "units.how": "同样的 LSTM，隐藏单元有多有少。这一节的参数个数不相等：要比较的正是它。",
    "units.more": "最大的网络最好：{best} 个单元的损失是 {nats}，比 {second} 个单元低 {gap}。在这里，这份文本至少用"
    "得上这么多单元。",
    "units.slow": "这里最好的是 {best} 个单元：损失 {nats}。{large} 个单元反而差 {gap}：同样的时间里，它读的字符只有"
    " {best} 个单元的 {share}%。这并不说明大网络学不到更多，只说明它要花更多的时间。",
    "units.enough": "这里最好的是 {best} 个单元：损失 {nats}。{large} 个单元读的字符差不多，却差 {gap}。",
    "units.tied": "{names} 个单元在这里分不出高下，其中最低的损失是 {nats}。这样训练，多于 {fewest} 个单元并没有好"
    "处。",
    "units.small": "只用 {small} 个单元，损失比最好的高 {gap}。",
    "units.ask": "单元更多的网络为什么不一定赢？",
    "units.answer": "每个字符的计算量更大：参数个数随单元数的平方增长。而一份文本能教的东西有限；反复读很多遍，大网"
    "络就把它背下来了。",
    # One layer or two?
    "layers": "加上第二层有什么用？",
    "layers.how": "两层、每层 {two} 个单元，对比一层 {one} 个单元，参数总数相等。",
    "layers.better": "这里第二层有帮助：损失 {nats}，比单层低 {gap}。",
    "layers.worse": "这里第二层没有帮助：损失 {nats}，比单层高 {gap}。",
    "layers.tied": "这里第二层没有造成差别：损失 {nats}，与单层相差 {gap}，而偶然因素就能造成 {chance} 的差距。",
    "layers.speed": "同样的时间里，两层网络读的字符是单层的 {share}%。",
    "layers.ask": "有什么事是第二层做得到，而把第一层加宽却做不到的？",
    "layers.answer": "第二层读的是第一层的状态，因此能在第一层找到的东西之上再看，比如看到词而不只是字符。但梯度要走"
    "的路更长，而且要等第一层学到了东西，第二层才有用。",
    # Memory and gradients
    "memory": "记忆和梯度能传多远？",
    "memory.how": "第一幅图：对同样的一些字符，如果只让网络看到前面 1、2、4……个字符，损失比看到全部上文时高多少。曲"
    "线在哪里结束，更早的字符网络就用不上了。",
    "memory.range": "{longest} 的记忆最长，能用到 {far} 个字符；{shortest} 的记忆到 {near} 个字符为止。",
    "memory.same": "各种单元的记忆都在 {far} 个字符左右为止。",
    "memory.unstable": "{cells} 的状态在这里无限增大：看到的上文一长，损失反而猛增，所以不比较它的记忆。",
    "memory.window": "没有一个网络的记忆超出训练时的窗口（{window} 个字符）。",
    "memory.beyond": "{longest} 用到的字符超出了 {window} 个字符的窗口：梯度虽然在窗口处截断，状态却会传到下一个窗口"
    "。",
    "gradient.how": "第二幅图：现在的隐藏状态在多大程度上取决于 k 个字符之前的状态（以当前为 1）。梯度要沿着这条路往"
    "回传，才能教会网络该记住什么。第三幅图：每种单元的损失在多大程度上取决于 k 个字符之前读入的字符。",
    "gradient.lstm": "在这几个网络里，tanh RNN 的梯度消失得更快：往回 {rnn_reach} 个字符就降到百分之一以下，LSTM 沿"
    "着 c 要 {lstm_reach} 个字符。往回 {k} 个字符，RNN 的梯度只剩 {rnn}，LSTM 还剩 {lstm}（沿着 c 还剩 {c}）。",
    "gradient.rnn": "在这里，LSTM 的梯度并不比 tanh RNN 传得更远：降到百分之一以下，RNN 要往回 {rnn_reach} 个字符，"
    "LSTM 沿着 c 是 {lstm_reach} 个。往回 {k} 个字符，RNN 还剩 {rnn}，LSTM 剩 {lstm}（沿着 c 剩 {c}）。遗忘门接近 1"
    " 的地方，LSTM 才保得住梯度，而这要靠学习。",
    "memory.ask": "80 个字符之前出现了一个左引号。这些网络里，哪个能知道？",
    "memory.answer": "只有记忆能达到那么远的网络才知道。训练时梯度如果也传得到那么远，网络就更容易学会。请对照前两"
    "幅图。",
    # Exploding gradients
    "explosion": "什么是梯度爆炸？梯度裁剪起什么作用？",
    "explosion.how": "还是训练好的 {cell}，把它的循环权重矩阵 U 乘以 {factor}，再用普通的梯度下降（学习率 {rate}，动"
    "量 0.9）继续训练。从同样的权重出发，用同样的文本训练两次：一次不裁剪，一次把梯度的范数裁剪到 {clip}。",
    "explosion.norm": "原来梯度的范数是 {usual}，现在是 {norm}，为原来的 {times} 倍。",
    "explosion.reach": "往回传 {k} 个字符，梯度平均要乘以 {after}；原来只乘以 {before}。",
    "explosion.broke": "不裁剪，{steps} 步之后损失就不再是有限的数。裁剪之后，损失从 {first} 变到 {end}（共 {all} 步"
    "，最后 {last} 步的平均值）。",
    "explosion.worse": "不裁剪，最初几步就把损失从 {first} 甩到 {peak}；裁剪之后，损失从未超过 {clipped_peak}。共训"
    "练 {all} 步，最后 {last} 步的平均损失，不裁剪是 {free}，裁剪是 {end}。",
    "explosion.stays": "裁剪之后，梯度本身仍然很大（图中是裁剪之前的值）：网络还留在会爆炸的地方，只是小步移动。不裁"
    "剪，则最初几步就把它甩到了梯度很小、损失却很高的地方。",
    "explosion.escaped": "最后反而是不裁剪的网络领先：它几步乱跳，碰巧落在了还能继续学习的地方。",
    "explosion.mild": "不裁剪，损失最高到 {peak}；裁剪之后，最高到 {clipped_peak}。共训练 {all} 步，最后 {last} 步的"
    "平均损失分别是 {free} 和 {end}：在这里，网络经受住了梯度爆炸。",
    "explosion.none": "即使乘以 {factor}，这里的梯度也没有爆炸：范数是 {norm}，原来是 {usual}。",
    "explosion.ask": "梯度裁剪不改变方向，只缩短长度。为什么这就够了？",
    "explosion.answer": "方向仍然是下坡，但坡度只在附近有效：迈出范数为 1000 的一步，落脚的地方早已不是这个梯度所描"
    "述的了。裁剪只能治梯度爆炸；已经消失的梯度是拉不回来的。",
    # The window
    "windows": "截断的随时间反向传播，窗口长短有什么影响？",
    "windows.how": "截断的随时间反向传播在每个窗口的开头切断梯度，而状态继续往下传。三个 LSTM 每一步读的字符一样多："
    "窗口为 8 时取自 {short} 路文本，窗口为 128 时取自 {long} 路。",
    "windows.clear": "这里窗口取 {best} 最好：损失 {nats}。其次是 {others}。",
    "windows.tied": "窗口 {names} 在这里分不出高下，其中最低的损失是 {nats}。",
    "windows.other": "{window}（差 {gap}）",
    "windows.grows": "在这几次训练里，窗口越长，记忆越远：依次是 {horizons} 个字符。",
    "windows.mixed": "记忆依次到 {horizons} 个字符为止：在这里，光把窗口加长，并没有让记忆变长。",
    "windows.ask": "为什么不干脆把窗口设成 10,000？",
    "windows.answer": "在梯度传回来之前，窗口里的所有状态都要留在内存里；每一步变长，步数就变少；何况那么远的梯度大"
    "多已经消失了。",
    # Optimizers
    "optimizers": "三种优化器各做了什么？",
    "optimizers.how": "同样的 LSTM，分别用带动量的 SGD、AdamW 和 Muon 训练，各用其通常的学习率。SGD 沿着坡度往下走；"
    "AdamW 给每个权重各自的步长；Muon 把整个矩阵的更新正交化，使矩阵的各个方向移动得一样多。",
    "optimizers.clear": "这里最好的是 {best}：损失 {nats}。其次是 {others}。",
    "optimizers.tied": "{names} 在这里分不出高下，最低的损失是 {nats}。",
    "optimizers.other": "{name}（差 {gap}）",
    "optimizers.ask": "训练一分钟后损失最低的优化器，一小时后还是最好的吗？",
    "optimizers.answer": "不一定：几条曲线会越来越接近。更快的优化器，省下的是时间。",
    # Temperature
    "temperature": "温度起什么作用？",
    "temperature.how": "由本页损失最低的网络（{run}，损失 {nats}）用同一个随机种子在五种温度下写作。抽取字符之前，先把 "
    "logit 除以温度：温度低于 1，本来就可能的字符变得更可能。",
    "temperature.rises": "温度为 {low} 时，网络觉得自己写的文本平淡无奇，每个字符 {low_nats} 奈特，其中长为 "
    "{string} 个字符的片段有 {low_known}% 在{text}里出现过；温度为 {high} 时，则是 {high_nats} 奈特和 {high_known}%。",
    "temperature.mixed": "温度为 {low} 时，网络自己测得每个字符 {low_nats} 奈特，长为 {string} 个字符的片段有 "
    "{low_known}% 在{text}里出现过；温度为 {high} 时，则是 {high_nats} 奈特和 {high_known}%。这与通常的次序不同：这"
    "个网络学到的还太少。",
    "temperature.ask": "在哪个温度下，写出的文本和真实文本一样出人意料？",
    "temperature.answer": "在 1 附近：这时网络完全按学到的概率抽字，自己写的文本和真实的文本对它来说差不多同样出人"
    "意料。温度低，读起来更通顺，因为少见的错误被掩盖了，但会不断重复。",
    "temperature.one": "温度 {temperature}：{nats} 奈特，出现过的片段占 {known}%",
    # The runs
    "runs": "全部训练结果，可以接着用",
    "runs.how": "每个训练结果都保存了下来，可以用来写作、观察内部，也可以继续训练：",
    "runs.again": "要得到本页的全部数字，在同一条命令后加 --json；已经完成的训练会直接使用。",
    # Tables and figures
    "question": "课堂提问：{asked}",
    "column.cell": "循环单元", "column.units": "隐藏单元", "column.layers": "层数", "column.parameters": "参数个数",
    "column.read": "读入的字符", "column.nats": "损失（奈特/字符）", "column.perplexity": "困惑度",
    "column.window": "窗口", "column.streams": "文本路数", "column.memory": "记忆长度（字符）",
    "column.optimizer": "优化器", "column.rate": "学习率", "column.run": "训练", "column.seconds": "秒",
    "column.reach.h": "∂h/∂h 降到 1% 以下", "column.reach.c": "∂h/∂c 降到 1% 以下",
    "axis.nats": "损失（奈特/字符）", "axis.seconds": "训练时间（秒）", "axis.steps": "读入的字符",
    "axis.context": "看到的上文（字符）", "axis.back": "往回的字符数", "axis.relative": "相对大小",
    "axis.step": "步", "axis.norm": "梯度的范数",
    "panel.loss": "学习过程中的损失", "panel.memory": "比看到全部上文时高出的损失",
    "panel.train": "训练损失（时间太短，没有验证损失曲线）",
    "panel.state": "∂h(t) / ∂状态(t − k)",
    "panel.input": "∂损失 / ∂输入", "panel.norm": "梯度的范数（裁剪之前）",
    "panel.descent": "损失",
    "line.free": "不裁剪", "line.clipped": "裁剪到 {clip}", "line.before": "训练所得",
    "line.after": "U × {factor}", "line.window": "窗口 {window}", "line.units": "{units} 个单元",
    "line.layers": "{layers} 层（每层 {units} 个单元）", "line.layer": "1 层（{units} 个单元）",
    "line.seed": "LSTM（另一组随机权重）",
    "list.and": "{first}、{last}", "list.comma": "、",
    "figure.losses": "最后的损失：{values}。",
    "figure.reach": "往回 {k} 个字符后还剩：{values}。",
    "figure.memory": "记忆长度：{values}。",
    "figure.explosion": "梯度的范数，最大的和最后的：{values}。",
}  # fmt: skip
