"""How a card asks to be cited: this package, and the paper of the method that made the rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MISO = """@inproceedings{tian2021difficult,
  title = {Difficult Samples Re-embedding via Mutual Information Constrained Semantically Oversampling},
  author = {Tian, Jiachen and Chen, Shizhan and Zhang, Xiaowang and Feng, Zhiyong and Xiong, Deyi and Wu, Shaojuan and Dou, Chunliu},
  booktitle = {Proceedings of the 2021 Conference on Empirical Methods in Natural Language Processing},
  pages = {3148--3161},
  year = {2021}
}"""  # noqa: E501
_SMOTE = """@article{chawla2002smote,
  title = {{SMOTE}: Synthetic Minority Over-sampling Technique},
  author = {Chawla, Nitesh V. and Bowyer, Kevin W. and Hall, Lawrence O. and Kegelmeyer, W. Philip},
  journal = {Journal of Artificial Intelligence Research},
  volume = {16},
  pages = {321--357},
  year = {2002}
}"""
_BORDERLINE = """@inproceedings{han2005borderline,
  title = {Borderline-{SMOTE}: A New Over-Sampling Method in Imbalanced Data Sets Learning},
  author = {Han, Hui and Wang, Wen-Yuan and Mao, Bing-Huan},
  booktitle = {Advances in Intelligent Computing (ICIC)},
  year = {2005}
}"""
_ADASYN = """@inproceedings{he2008adasyn,
  title = {{ADASYN}: Adaptive Synthetic Sampling Approach for Imbalanced Learning},
  author = {He, Haibo and Bai, Yang and Garcia, Edwardo A. and Li, Shutao},
  booktitle = {IEEE International Joint Conference on Neural Networks},
  year = {2008}
}"""
_MLSMOTE = """@article{charte2015mlsmote,
  title = {{MLSMOTE}: Approaching imbalanced multilabel learning through synthetic instance generation},
  author = {Charte, Francisco and Rivera, Antonio J. and del Jesus, Mar{\\'i}a J. and Herrera, Francisco},
  journal = {Knowledge-Based Systems},
  volume = {89},
  pages = {385--397},
  year = {2015}
}"""  # noqa: E501
_ML_ROS = """@article{charte2015addressing,
  title = {Addressing imbalance in multilabel classification: Measures and random resampling algorithms},
  author = {Charte, Francisco and Rivera, Antonio J. and del Jesus, Mar{\\'i}a J. and Herrera, Francisco},
  journal = {Neurocomputing},
  volume = {163},
  pages = {3--16},
  year = {2015}
}"""  # noqa: E501
_AMO = """@inproceedings{kim2020m2m,
  title = {{M2m}: Imbalanced Classification via Major-to-minor Translation},
  author = {Kim, Jaehyung and Jeong, Jongheon and Shin, Jinwoo},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  note = {An earlier version: Imbalanced Classification via Adversarial Minority Over-sampling},
  year = {2020}
}"""
_SIMPOR = """@misc{nguyen-simpor,
  title = {Synthetic Information towards Maximum Posterior Ratio for deep learning on Imbalanced Data},
  author = {Nguyen, Hung and Chang, Morris},
  note = {Preprint}
}"""  # noqa: E501
_BAYESIAN = """@inproceedings{he2021interpretable,
  title = {Interpretable Minority Synthesis for Imbalanced Classification},
  author = {He, Yi and others},
  booktitle = {Proceedings of the 30th International Joint Conference on Artificial Intelligence},
  year = {2021}
}"""
_EMCO = """@article{avela2026extrapolated,
  title = {Extrapolated Markov Chain Oversampling Method for Imbalanced Text Classification},
  author = {Avela, Aleksi and Ilmonen, Pauliina},
  journal = {Journal of Machine Learning Research},
  volume = {27},
  number = {18},
  pages = {1--28},
  year = {2026}
}"""
PAPERS: dict[str, str] = {
    "miso": _MISO,
    "smote": _SMOTE,
    "borderline_smote": _BORDERLINE,
    "adasyn": _ADASYN,
    "mlsmote": _MLSMOTE,
    "ml_ros": _ML_ROS,
    "amo": _AMO,
    "simpor": _SIMPOR,
    "bayesian_gan": _BAYESIAN,
    "emco": _EMCO,
}
"""Method → its paper, as BibTeX. What is not listed (repeats, language models) has none here."""


def citation(run: Mapping[str, Any], method: str | None = None) -> str:
    """
    BibTeX of this package, in the version of the run, and of the method's paper.

    Args:
        run: the record.
        method: as in `PAPERS`; by default the record's, which is MISO where none is named.
    """
    version = run["versions"]["hf_oversample"]
    package = (
        "@software{hf_oversample,\n"
        "  title = {hf_oversample: more and better minority rows for imbalanced text data sets},\n"
        f"  version = {{{version}}}\n}}"
    )
    paper = PAPERS.get(method or str(run["arguments"].get("method", "miso")))
    return "\n\n".join([package, *([paper] if paper else [])])
