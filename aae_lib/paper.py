"""The papers' numbers, each once (AAE: Makhzani et al., arXiv 1511.05644 v2)."""


class Reported(str):
    """A number that a paper reports, as printed there, with its spread; a dagger: recalled, not checked against it."""

    def __float__(self) -> float:
        return float(self.rstrip("†").partition(" ")[0])


# AAE, Table 1: log-likelihood of MNIST's test images in nats, by 10,000 samples and by 10 million. The first four
# rows are those of Goodfellow et al. 2014, Table 1.
TABLE_1: dict[str, tuple[Reported, Reported | None]] = {
    "DBN": (Reported("138 ± 2"), None),
    "Stacked CAE": (Reported("121 ± 1.6"), None),
    "Deep GSN": (Reported("214 ± 1.1"), None),
    "GAN": (Reported("225 ± 2"), Reported("386†")),
    "GMMN + AE": (Reported("282 ± 2"), None),
    "AAE": (Reported("340 ± 2"), Reported("427†")),
}

# AAE, Table 2: test error in percent on MNIST with 100, 1000 and all labels. It quotes the other methods' papers;
# of these the numbers without a dagger were found in public texts that quote the same papers.
TABLE_2: dict[str, tuple[Reported | None, Reported | None, Reported | None]] = {
    "NN": (Reported("25.80†"), Reported("8.73†"), Reported("1.25†")),
    "VAE (M1) + TSVM": (Reported("11.82 ± 0.25†"), Reported("4.24 ± 0.07†"), None),
    "VAE (M2)": (Reported("11.97 ± 1.71"), Reported("3.60 ± 0.56†"), None),
    "VAE (M1 + M2)": (Reported("3.33 ± 0.14†"), Reported("2.40 ± 0.02†"), Reported("0.96†")),
    "VAT": (Reported("2.33"), Reported("1.36"), Reported("0.64 ± 0.04†")),
    "CatGAN": (Reported("1.91 ± 0.10†"), Reported("1.73 ± 0.18†"), Reported("0.91†")),
    "Ladder networks": (Reported("1.06 ± 0.37"), Reported("0.84 ± 0.08"), Reported("0.57 ± 0.02")),
    "ADGM": (Reported("0.96 ± 0.02†"), None, None),
    "AAE": (Reported("1.90 ± 0.10"), Reported("1.60 ± 0.08†"), Reported("0.85 ± 0.02†")),
}

# AAE, Table 3: number of clusters, and test error in percent without labels. The paper names a cluster after the image
# that is most certain to be in it (recalled). Dilokthanakul et al. 2016, Table 1, quote the same numbers.
TABLE_3: dict[str, tuple[int, Reported]] = {
    "CatGAN": (20, Reported("9.70")),
    "AAE, 16 clusters": (16, Reported("9.55 ± 2.05")),
    "AAE, 30 clusters": (30, Reported("4.10 ± 1.13")),
}

# AAE, appendix A.2.1 (recalled): test error in percent with 100 labels, by the number of epochs.
PAPER_ERRORS = {1: 16.50, 50: 3.40, 500: 2.21, 1000: 1.98, 5000: 1.83}

# What the paper reports for experiments of this library, by metric. The errors of ``reduce-`` are those of Figure 11.
PAPER: dict[str, dict[str, Reported]] = {
    "semi-100": {"test_error_percent": TABLE_2["AAE"][0]},
    "semi-1000": {"test_error_percent": TABLE_2["AAE"][1]},
    "semi-all": {"test_error_percent": TABLE_2["AAE"][2]},
    "labels-100": {"test_error_percent": TABLE_2["NN"][0]},
    "labels-1000": {"test_error_percent": TABLE_2["NN"][1]},
    "labels-all": {"test_error_percent": TABLE_2["NN"][2]},
    "m2-100": {"test_error_percent": TABLE_2["VAE (M2)"][0]},
    "m2-1000": {"test_error_percent": TABLE_2["VAE (M2)"][1]},
    "m1-m2-100": {"test_error_percent": TABLE_2["VAE (M1 + M2)"][0]},
    "m1-m2-1000": {"test_error_percent": TABLE_2["VAE (M1 + M2)"][1]},
    "m1-m2-all": {"test_error_percent": TABLE_2["VAE (M1 + M2)"][2]},
    "cluster-16": {"test_error_percent_most_confident": TABLE_3["AAE, 16 clusters"][1]},
    "cluster-30": {"test_error_percent_most_confident": TABLE_3["AAE, 30 clusters"][1]},
    "reduce-2d-1000": {"test_error_percent": Reported("4.20†")},
    "reduce-2d-100": {"test_error_percent": Reported("6.08†")},
    "reduce-2d-unsupervised": {"test_error_percent": Reported("13.61†")},
    "reduce-10d-100": {"test_error_percent": Reported("3.90†")},
    "svhn-semi-1000": {"test_error_percent": Reported("17.70 ± 0.30†")},
    "svhn-labels-1000": {"test_error_percent": Reported("47.50†")},
    "likelihood": {"parzen_log_likelihood_10k": TABLE_1["AAE"][0]},
}
